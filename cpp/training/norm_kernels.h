// RMSNorm and its gradients, of rows and of heads, and the turn of heads.
#pragma once

#include <cmath>

#include "training/kernels.h"
#include "training/typed_lanes.h"

namespace textmill::training {
namespace {

TEXTMILL_FUSED float inverse_rms(float squares, size_t width, float eps) {
    return 1.0f / std::sqrt(squares / static_cast<float>(width) + eps);
}

template <typename T>
TEXTMILL_FUSED float sum_of_squares(const T* x, size_t width) {
    Floats squares = zeros();
    each_lanes(width, [&](size_t i, size_t num) TEXTMILL_LAMBDA_FUSED {
        const Floats lanes = take(x + i, num);
        squares = multiply_add(lanes, lanes, squares);
    });
    return sum_of(squares);
}

template <typename T>
TEXTMILL_FUSED void add_row(const T* x, const T* added, T* sum, size_t width) {
    each_lanes(width, [&](size_t i, size_t num)
                          TEXTMILL_LAMBDA_FUSED { put(sum + i, num, add(take(x + i, num), take(added + i, num))); });
}

template <typename T>
void norm(const Norm& task, size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
        const size_t at = row * task.width;
        const T* x = static_cast<const T*>(task.x) + at;
        if (task.added != nullptr) {
            T* const sum = static_cast<T*>(task.sum) + at;
            add_row(x, static_cast<const T*>(task.added) + at, sum, task.width);
            x = sum;
        }
        T* const out = static_cast<T*>(task.out) + at;
        const float inverse = inverse_rms(sum_of_squares(x, task.width), task.width, task.eps);
        task.inverse[row] = inverse;
        each_lanes(task.width, [&](size_t i, size_t num) TEXTMILL_LAMBDA_FUSED {
            put(out + i, num, multiply(multiply(take(x + i, num), all(inverse)), take(task.weight + i, num)));
        });
    }
}

// One row's gradients: d weight is added to what is there. G is the gradient's type and T that of the rest.
template <typename G, typename T>
TEXTMILL_FUSED void norm_row_backward(const G* gradient, const T* x, float inverse, const float* weight, const T* added,
                                      T* x_gradient, float* weight_gradient, size_t width) {
    Floats products = zeros();
    each_lanes(width, [&](size_t i, size_t num) TEXTMILL_LAMBDA_FUSED {
        const Floats product = multiply(take(gradient + i, num), multiply(take(x + i, num), all(inverse)));
        put(weight_gradient + i, num, add(take(weight_gradient + i, num), product));
        products = multiply_add(product, take(weight + i, num), products);
    });
    const float mean = sum_of(products) / static_cast<float>(width);
    each_lanes(width, [&](size_t i, size_t num) TEXTMILL_LAMBDA_FUSED {
        const Floats unit = multiply(take(x + i, num), all(inverse));
        const Floats scaled = multiply(take(gradient + i, num), take(weight + i, num));
        Floats result = multiply(multiply_add(unit, all(-mean), scaled), all(inverse));
        if (added != nullptr) {
            result = add(result, take(added + i, num));
        }
        put(x_gradient + i, num, result);
    });
}

template <typename T>
void norm_backward(const NormBackward& task, size_t begin, size_t end, float* weight_gradient) {
    for (size_t row = begin; row < end; ++row) {
        const size_t at = row * task.width;
        const T* const added = task.added == nullptr ? nullptr : static_cast<const T*>(task.added) + at;
        norm_row_backward(static_cast<const T*>(task.gradient) + at, static_cast<const T*>(task.x) + at,
                          task.inverse[row], task.weight, added, static_cast<T*>(task.x_gradient) + at, weight_gradient,
                          task.width);
    }
}

// The pair (i, i + dim / 2) of `head`, times `inverse` and weights where there are any, turned by an angle, or back.
template <typename In, typename Out>
TEXTMILL_FUSED void turn(const In* head, float inverse, const float* weight, const float* cosines, const float* sines,
                         float sign, Out* out, size_t dim) {
    const size_t half = dim / 2;
    each_lanes(half, [&](size_t i, size_t num) TEXTMILL_LAMBDA_FUSED {
        Floats first = take(head + i, num);
        Floats second = take(head + half + i, num);
        if (weight != nullptr) {
            first = multiply(multiply(first, all(inverse)), take(weight + i, num));
            second = multiply(multiply(second, all(inverse)), take(weight + half + i, num));
        }
        const Floats cosine = take(cosines + i, num);
        const Floats sine = multiply(take(sines + half + i, num), all(sign));
        const Floats turned = subtract(multiply(first, cosine), multiply(second, sine));
        put(out + half + i, num, add(multiply(second, cosine), multiply(first, sine)));
        put(out + i, num, turned);
    });
}

template <typename T>
void heads(const Heads& task, size_t begin, size_t end) {
    for (size_t token = begin; token < end; ++token) {
        const size_t angle = task.cosines == nullptr ? 0 : token % task.num_angles * task.dim;
        for (size_t h = 0; h < task.num_heads; ++h) {
            const T* const head = static_cast<const T*>(task.x) + token * task.x_stride + h * task.dim;
            T* const out = static_cast<T*>(task.out) + token * task.out_stride + h * task.dim;
            float inverse = 1.0f;
            if (task.weight != nullptr) {
                inverse = inverse_rms(sum_of_squares(head, task.dim), task.dim, task.eps);
                task.inverse[token * task.num_heads + h] = inverse;
            }
            if (task.cosines != nullptr) {
                turn(head, inverse, task.weight, task.cosines + angle, task.sines + angle, 1.0f, out, task.dim);
            } else {
                each_lanes(task.dim, [&](size_t i, size_t num) TEXTMILL_LAMBDA_FUSED {
                    const Floats unit = multiply(take(head + i, num), all(inverse));
                    put(out + i, num, task.weight == nullptr ? unit : multiply(unit, take(task.weight + i, num)));
                });
            }
        }
    }
}

template <typename T>
void heads_backward(const HeadsBackward& task, size_t begin, size_t end, float* weight_gradient, float* scratch) {
    for (size_t token = begin; token < end; ++token) {
        const size_t angle = task.cosines == nullptr ? 0 : token % task.num_angles * task.dim;
        for (size_t h = 0; h < task.num_heads; ++h) {
            const T* const gradient =
                static_cast<const T*>(task.gradient) + token * task.gradient_stride + h * task.dim;
            T* const x_gradient = static_cast<T*>(task.x_gradient) + token * task.x_gradient_stride + h * task.dim;
            if (task.weight == nullptr) {
                turn(gradient, 1.0f, nullptr, task.cosines + angle, task.sines + angle, -1.0f, x_gradient, task.dim);
                continue;
            }
            const T* const x = static_cast<const T*>(task.x) + token * task.x_stride + h * task.dim;
            const float inverse = task.inverse[token * task.num_heads + h];
            if (task.cosines != nullptr) {
                turn(gradient, 1.0f, nullptr, task.cosines + angle, task.sines + angle, -1.0f, scratch, task.dim);
                norm_row_backward(scratch, x, inverse, task.weight, static_cast<const T*>(nullptr), x_gradient,
                                  weight_gradient, task.dim);
            } else {
                norm_row_backward(gradient, x, inverse, task.weight, static_cast<const T*>(nullptr), x_gradient,
                                  weight_gradient, task.dim);
            }
        }
    }
}

}  // namespace
}  // namespace textmill::training
