// Values of one type added to those of the other.
#pragma once

#include "training/typed_lanes.h"

namespace textmill::training {
namespace {

void add_bf16(const uint16_t* x, float* sum, size_t num) {
    each_lanes(num, [&](size_t i, size_t count)
                        TEXTMILL_LAMBDA_FUSED { put(sum + i, count, add(take(sum + i, count), take(x + i, count))); });
}

}  // namespace
}  // namespace textmill::training
