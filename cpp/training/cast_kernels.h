// Between f32 and bf16.
#pragma once

#include "training/typed_lanes.h"

namespace textmill::training {
namespace {

void round_to_bf16(const float* x, uint16_t* out, size_t num) {
    each_lanes(num, [&](size_t i, size_t count) TEXTMILL_LAMBDA_FUSED { put(out + i, count, take(x + i, count)); });
}

void add_bf16(const uint16_t* x, float* sum, size_t num) {
    each_lanes(num, [&](size_t i, size_t count)
                        TEXTMILL_LAMBDA_FUSED { put(sum + i, count, add(take(sum + i, count), take(x + i, count))); });
}

}  // namespace
}  // namespace textmill::training
