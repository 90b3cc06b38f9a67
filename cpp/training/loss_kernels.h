// Softmax cross-entropy of logits, whose gradient takes their place.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>

#include "engine/exponential.h"
#include "training/kernels.h"
#include "training/typed_lanes.h"

namespace textmill::training {
namespace {

// Exponentials are summed in f32 by so many, and those sums in f64.
inline constexpr size_t kSummed = 1024;

template <typename T>
TEXTMILL_FUSED float largest_logit(const T* logits, size_t num) {
    size_t i = 0;
    Floats most = all(-std::numeric_limits<float>::infinity());
    for (; i + kLanes <= num; i += kLanes) {
        most = larger(most, take_all(logits + i));
    }
    if (i < num) {
        most =
            larger(most, keep_between(take(logits + i, num - i), 0, num - i, -std::numeric_limits<float>::infinity()));
    }
    return largest_of(most);
}

// exp(logit - most) of each into `weights`; returns their sum.
template <typename T>
TEXTMILL_FUSED double exponentials(const T* logits, size_t num, float most, float* weights) {
    double total = 0.0;
    for (size_t begin = 0; begin < num; begin += kSummed) {
        Floats sum = zeros();
        const size_t end = num - begin < kSummed ? num - begin : kSummed;
        each_lanes(end, [&](size_t i, size_t count) TEXTMILL_LAMBDA_FUSED {
            const Floats weight =
                keep_between(exp_of(subtract(take(logits + begin + i, count), all(most))), 0, count, 0.0f);
            put(weights + begin + i, count, weight);
            sum = add(sum, weight);
        });
        total += static_cast<double>(sum_of(sum));
    }
    return total;
}

TEXTMILL_FUSED float widened(float x) {
    return x;
}
TEXTMILL_FUSED float widened(uint16_t x) {
    const uint16_t lanes[kLanes] = {x};
    float wide[kLanes];
    store(wide, widen_bf16(lanes));
    return wide[0];
}

template <typename T>
double cross_entropy(const CrossEntropy& task, size_t begin, size_t end, float* scratch) {
    double nats = 0.0;
    const size_t num = task.vocab_size;
    for (size_t row = begin; row < end; ++row) {
        T* const logits = static_cast<T*>(task.logits) + row * num;
        const int64_t target = task.targets[row];
        if (target == kNoTarget) {
            if (task.makes_gradient) {
                std::memset(logits, 0, num * sizeof(T));  // 0 in both types
            }
            continue;
        }
        const float most = largest_logit(logits, num);
        const double sum = exponentials(logits, num, most, scratch);
        const double normaliser = std::log(sum) + static_cast<double>(most);
        nats += normaliser - static_cast<double>(widened(logits[target]));
        if (task.makes_gradient) {
            const auto scale = static_cast<float>((1.0 + 2.0 * task.z_loss * normaliser) / sum);
            each_lanes(num, [&](size_t i, size_t count) TEXTMILL_LAMBDA_FUSED {
                put(logits + i, count, multiply(take(scratch + i, count), all(scale)));
            });
            put(logits + target, 1, all(scratch[target] * scale - 1.0f));
        }
    }
    return nats;
}

}  // namespace
}  // namespace textmill::training
