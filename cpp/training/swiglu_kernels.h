// SwiGLU's product and its gradients.
#pragma once

#include "engine/exponential.h"
#include "training/kernels.h"
#include "training/typed_lanes.h"

namespace textmill::training {
namespace {

// exp(-x) and 1 / (1 + exp(-x))
struct Sigmoid {
    Floats exponential;
    Floats value;
};

TEXTMILL_FUSED Sigmoid sigmoid(const Floats& x) {
    const Floats exponential = exp_of(subtract(zeros(), x));
    return {exponential, quotient(all(1.0f), add(all(1.0f), exponential))};
}

template <typename T>
void swiglu(const Swiglu& task, size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
        const T* const gate = static_cast<const T*>(task.gate) + row * task.gate_stride;
        const T* const up = static_cast<const T*>(task.up) + row * task.up_stride;
        T* const out = static_cast<T*>(task.out) + row * task.width;
        each_lanes(task.width, [&](size_t i, size_t num) TEXTMILL_LAMBDA_FUSED {
            const Floats x = take(gate + i, num);
            put(out + i, num, multiply(multiply(x, sigmoid(x).value), take(up + i, num)));
        });
    }
}

template <typename T>
void swiglu_backward(const SwigluBackward& task, size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
        const T* const gradient = static_cast<const T*>(task.gradient) + row * task.width;
        const T* const gate = static_cast<const T*>(task.gate) + row * task.gate_stride;
        const T* const up = static_cast<const T*>(task.up) + row * task.up_stride;
        T* const gate_gradient = static_cast<T*>(task.gate_gradient) + row * task.gradient_stride;
        T* const up_gradient = static_cast<T*>(task.up_gradient) + row * task.gradient_stride;
        T* const gated = task.gated == nullptr ? nullptr : static_cast<T*>(task.gated) + row * task.width;
        each_lanes(task.width, [&](size_t i, size_t num) TEXTMILL_LAMBDA_FUSED {
            const Floats x = take(gate + i, num);
            const Floats y = take(up + i, num);
            const Floats g = take(gradient + i, num);
            const Sigmoid s = sigmoid(x);
            const Floats activated = multiply(x, s.value);
            // silu'(x) = s + x s (1 - s), where 1 - s is exp(-x) s: as 1 - s it would lose its digits where s is
            // near 1.
            const Floats rest = multiply(s.exponential, s.value);
            const Floats slope = multiply_add(activated, rest, s.value);
            put(gate_gradient + i, num, multiply(multiply(g, y), slope));
            put(up_gradient + i, num, multiply(g, activated));
            if (gated != nullptr) {
                put(gated + i, num, multiply(activated, y));
            }
        });
    }
}

}  // namespace
}  // namespace textmill::training
