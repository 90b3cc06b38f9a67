// Values of either type as sixteen floats of a tier, and what is left of a row in part of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/inline.h"

namespace textmill::training {
namespace {

using namespace engine;

inline constexpr size_t kLanes = 16;

TEXTMILL_FUSED Floats take_all(const float* p) {
    return load(p);
}
TEXTMILL_FUSED Floats take_all(const uint16_t* p) {
    return widen_bf16(p);
}
TEXTMILL_FUSED void put_all(float* p, const Floats& x) {
    store(p, x);
}
TEXTMILL_FUSED void put_all(uint16_t* p, const Floats& x) {
    store_bf16(p, x);
}

// The first `num` of sixteen values, and zeros.
template <typename T>
TEXTMILL_FUSED Floats take(const T* p, size_t num) {
    if (num == kLanes) {
        return take_all(p);
    }
    T some[kLanes] = {};
    std::memcpy(some, p, num * sizeof(T));
    return take_all(some);
}

template <typename T>
TEXTMILL_FUSED void put(T* p, size_t num, const Floats& x) {
    if (num == kLanes) {
        return put_all(p, x);
    }
    T some[kLanes];
    put_all(some, x);
    std::memcpy(p, some, num * sizeof(T));
}

// Calls body(i, how many of sixteen) for the values of a row.
template <typename Body>
TEXTMILL_FUSED void each_lanes(size_t num, const Body& body) {
    size_t i = 0;
    for (; i + kLanes <= num; i += kLanes) {
        body(i, kLanes);
    }
    if (i < num) {
        body(i, num - i);
    }
}

}  // namespace
}  // namespace textmill::training
