// 32 neighbouring weights rounded to eight or four bits.
#pragma once

#include <cstdint>

#include "engine/panels.h"

namespace textmill::engine {

// Value i stands for scale * (numbers[i] - 128) in kQ8, scale * (numbers[i] - 8) in kQ4 and
// scale * numbers[i] + least in kQ4Min; scale and least are float16.
struct RoundedGroup {
    uint16_t scale;
    uint16_t least;
    uint8_t numbers[kGroupCols];
};

RoundedGroup round_group(WeightType type, const float* values);

}  // namespace textmill::engine
