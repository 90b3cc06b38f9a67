// What is done to one row or head at a time, over the lanes of a tier (kernels_impl.h).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "engine/exponential.h"
#include "engine/kernels.h"

namespace textmill::engine {
namespace {

void rms_norm(const float* x, const float* weight, size_t num, size_t num_padded, float eps, float* out) {
    Floats squares = zeros();
    for (size_t i = 0; i < num_padded; i += 16) {
        const Floats lanes = load(x + i);
        squares = multiply_add(lanes, lanes, squares);
    }
    const float scale = 1.0f / std::sqrt(sum_of(squares) / static_cast<float>(num) + eps);
    for (size_t i = 0; i < num_padded; i += 16) {
        store(out + i, multiply(multiply(load(x + i), all(scale)), load(weight + i)));
    }
}

void to_pairs(const float* row, size_t num, uint8_t* pairs) {
    for (size_t i = 0; i < num; i += 16) {
        store_pairs(reinterpret_cast<Pair*>(pairs) + i / 2, load(row + i));
    }
}

struct Rounded {
    float scale;
    int32_t sum;
};

// The largest magnitude of `num` floats, a multiple of 16, becomes 127. A value that is not finite makes the scale so.
TEXTMILL_FUSED Rounded round_to_int8(const float* values, size_t num, int8_t* numbers) {
    Floats largest = zeros();
    Floats poison = zeros();
    for (size_t i = 0; i < num; i += 16) {
        const Floats lanes = load(values + i);
        largest = larger(largest, magnitude(lanes));
        poison = multiply_add(lanes, zeros(), poison);
    }
    const float most = largest_of(largest);
    const float inverse = most >= 0x1p-119f ? 127.0f / most : 0.0f;
    for (size_t i = 0; i < num; i += 16) {
        store_int8(numbers + i, multiply(load(values + i), all(inverse)));
    }
    int32_t sum = 0;
    for (size_t i = 0; i < num; ++i) {
        sum += numbers[i];
    }
    return {most / 127.0f + sum_of(poison), sum};
}

TEXTMILL_FUSED bool are_numbers(const float* values, size_t num) {
    Floats poison = zeros();
    for (size_t i = 0; i < num; i += 16) {
        poison = multiply_add(load(values + i), zeros(), poison);
    }
    return sum_of(poison) == 0.0f;
}

// round_to_int8 for one group of values that are all finite.
TEXTMILL_FUSED Rounded round_group(const float* values, int8_t* numbers) {
    static_assert(kGroupCols == 32);
    const Floats first = load(values);
    const Floats second = load(values + 16);
    const float most = largest_of(larger(magnitude(first), magnitude(second)));
    // Of smaller numbers the inverse would not be finite; their scale is as good as zero.
    const Floats inverse = all(most >= 0x1p-119f ? 127.0f / most : 0.0f);
    const Floats first_whole = nearest_whole(multiply(first, inverse));
    const Floats second_whole = nearest_whole(multiply(second, inverse));
    store_int8(numbers, first_whole);
    store_int8(numbers + 16, second_whole);
    return {most / 127.0f, static_cast<int32_t>(sum_of(add(first_whole, second_whole)))};  // exact: small whole numbers
}

void to_numbers(const float* row, size_t num, const RoundedRow& out) {
    const bool is_finite = are_numbers(row, num);
    for (size_t group = 0; group * kGroupCols < num; ++group) {
        const size_t at = group * kGroupCols;
        const Rounded rounded =
            is_finite ? round_group(row + at, out.numbers + at) : round_to_int8(row + at, kGroupCols, out.numbers + at);
        out.scales[group] = rounded.scale;
        out.scaled_sums[group] = rounded.scale * static_cast<float>(rounded.sum);
        out.sums[group] = rounded.sum;
    }
}

void swiglu(float* gate, const float* up, size_t num) {
    for (size_t i = 0; i < num; i += 16) {
        const Floats lanes = load(gate + i);
        const Floats below = add(all(1.0f), exp_of(subtract(zeros(), lanes)));
        store(gate + i, multiply(quotient(lanes, below), load(up + i)));
    }
}

void rotate(float* head, const float* cosines, const float* sines, size_t dim) {
    float* const second = head + dim / 2;
    for (size_t i = 0; i < dim / 2; ++i) {
        const float x = head[i];
        const float y = second[i];
        head[i] = x * cosines[i] - y * sines[i];
        second[i] = y * cosines[i] + x * sines[i];
    }
}

}  // namespace
}  // namespace textmill::engine
