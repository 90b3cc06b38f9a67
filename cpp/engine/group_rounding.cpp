#include "engine/group_rounding.h"

#include <algorithm>
#include <cmath>

#include "engine/half.h"

namespace textmill::engine {
namespace {

uint8_t nearest(float value, float most) {
    return value >= 0.0f ? static_cast<uint8_t>(std::lrint(std::min(value, most))) : uint8_t{0};  // of NaN too
}

float inverse(float scale) {
    return scale == 0.0f ? 0.0f : 1.0f / scale;
}

// The largest magnitude becomes 127.
RoundedGroup round_to_q8(const float* values) {
    float largest = 0.0f;
    for (size_t i = 0; i < kGroupCols; ++i) {
        largest = std::max(largest, std::fabs(values[i]));
    }
    RoundedGroup group{.scale = float_to_f16(largest / 127.0f), .least = 0, .numbers = {}};
    const float by = inverse(f16_to_float(group.scale));
    for (size_t i = 0; i < kGroupCols; ++i) {
        group.numbers[i] = nearest(values[i] * by + 128.0f, 255.0f);
    }
    return group;
}

// As ggml's Q4_0: the value of largest magnitude becomes -8.
RoundedGroup round_to_q4(const float* values) {
    float furthest = 0.0f;
    for (size_t i = 0; i < kGroupCols; ++i) {
        furthest = std::fabs(values[i]) > std::fabs(furthest) ? values[i] : furthest;
    }
    RoundedGroup group{.scale = float_to_f16(furthest / -8.0f), .least = 0, .numbers = {}};
    const float by = inverse(f16_to_float(group.scale));
    for (size_t i = 0; i < kGroupCols; ++i) {
        group.numbers[i] = nearest(values[i] * by + 8.0f, 15.0f);
    }
    return group;
}

// Numbers for a scale and a least value as float16 keeps them, and the sum of squared errors.
float fit(const float* values, float scale, float least, RoundedGroup& group) {
    group.scale = float_to_f16(scale);
    group.least = float_to_f16(least);
    const float kept_scale = f16_to_float(group.scale);
    const float kept_least = f16_to_float(group.least);
    const float by = inverse(kept_scale);
    float error = 0.0f;
    for (size_t i = 0; i < kGroupCols; ++i) {
        group.numbers[i] = nearest((values[i] - kept_least) * by, 15.0f);
        const float off = kept_scale * static_cast<float>(group.numbers[i]) + kept_least - values[i];
        error += off * off;
    }
    return error;
}

// Starting from the whole range and from ranges that cut its ends off a little, the best line through the numbers that
// the rounding gave is found by least squares; of all tries the one with the smallest error stays.
RoundedGroup round_to_q4_min(const float* values) {
    const auto [low, high] = std::minmax_element(values, values + kGroupCols);
    RoundedGroup best{};
    float best_error = fit(values, (*high - *low) / 15.0f, *low, best);
    for (const float cut : {0.0f, 0.03f, 0.06f, 0.1f}) {
        RoundedGroup group{};
        const float range = *high - *low;
        fit(values, range * (1.0f - 2.0f * cut) / 15.0f, *low + cut * range, group);
        for (int round = 0; round < 2; ++round) {
            float sum_n = 0.0f, sum_nn = 0.0f, sum_x = 0.0f, sum_nx = 0.0f;
            for (size_t i = 0; i < kGroupCols; ++i) {
                const auto number = static_cast<float>(group.numbers[i]);
                sum_n += number;
                sum_nn += number * number;
                sum_x += values[i];
                sum_nx += number * values[i];
            }
            const float spread = kGroupCols * sum_nn - sum_n * sum_n;
            if (spread == 0.0f) {
                break;
            }
            const float scale = (kGroupCols * sum_nx - sum_n * sum_x) / spread;
            const float error = fit(values, scale, (sum_x - scale * sum_n) / kGroupCols, group);
            if (error < best_error) {
                best_error = error;
                best = group;
            }
        }
    }
    return best;
}

}  // namespace

RoundedGroup round_group(WeightType type, const float* values) {
    switch (type) {
        case WeightType::kQ8:
            return round_to_q8(values);
        case WeightType::kQ4:
            return round_to_q4(values);
        default:
            return round_to_q4_min(values);
    }
}

}  // namespace textmill::engine
