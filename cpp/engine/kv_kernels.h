// Keys and values into their blocks, over the lanes of a tier (kernels_impl.h).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "engine/half.h"
#include "engine/kernels.h"
#include "engine/row_kernels.h"

namespace textmill::engine {
namespace {

TEXTMILL_FUSED void store_f32_kv(const KvLayout& layout, uint8_t* block, size_t slot, const float* key,
                                 const float* value) {
    auto* const keys = reinterpret_cast<float*>(block);
    auto* const values = reinterpret_cast<float*>(block + layout.half_bytes());
    for (size_t d = 0; d < layout.head_dim; ++d) {
        keys[d * kBlockTokens + slot] = key[d];
        values[slot * layout.padded_dim() + d] = value[d];
    }
}

// Apart from the stores that scatter them, so that a compiler takes many at once.
TEXTMILL_FUSED void round_to_bf16(const float* values, size_t num, uint16_t* rounded) {
    for (size_t d = 0; d < num; ++d) {
        rounded[d] = float_to_bf16(values[d]);
    }
}

TEXTMILL_FUSED void store_bf16_kv(const KvLayout& layout, uint8_t* block, size_t slot, const float* key,
                                  const float* value) {
    auto* const keys = reinterpret_cast<uint16_t*>(block);
    auto* const values = reinterpret_cast<uint16_t*>(block + layout.half_bytes());
    uint16_t rounded[kMaxHeadDim];
    round_to_bf16(key, layout.head_dim, rounded);
    for (size_t d = 0; d < layout.head_dim; ++d) {
        keys[(d / 2 * kBlockTokens + slot) * 2 + d % 2] = rounded[d];
    }
    round_to_bf16(value, layout.head_dim, rounded);
    for (size_t d = 0; d < layout.head_dim; ++d) {
        values[(slot / 2 * layout.padded_dim() + d) * 2 + slot % 2] = rounded[d];
    }
}

TEXTMILL_FUSED void store_int8_kv(const KvLayout& layout, uint8_t* block, size_t slot, const float* key,
                                  const float* value) {
    alignas(64) float padded[kMaxHeadDim] = {};
    alignas(64) int8_t numbers[kMaxHeadDim] = {};
    const size_t dim = layout.padded_dim();
    auto* const scales = reinterpret_cast<float*>(block + layout.scales_at());
    for (size_t d = 0; d < dim; ++d) {
        padded[d] = d < layout.head_dim ? key[d] : 0.0f;
    }
    scales[slot] = round_to_int8(padded, dim, numbers).scale;
    for (size_t d = 0; d < dim; ++d) {
        block[(d / 4 * kBlockTokens + slot) * 4 + d % 4] = static_cast<uint8_t>(numbers[d] + 128);
    }
    for (size_t d = 0; d < dim; ++d) {
        padded[d] = d < layout.head_dim ? value[d] : 0.0f;
    }
    auto* const values = reinterpret_cast<int8_t*>(block + layout.half_bytes());
    scales[kBlockTokens + slot] = round_to_int8(padded, dim, values + slot * dim).scale;
}

// Whether all values can be kept in any type.
TEXTMILL_FUSED bool are_sound(const float* values, size_t num) {
    constexpr float kLargestBf16 = 0x1.fep127f;
    unsigned num_unsound = 0;
    for (size_t d = 0; d < num; ++d) {
        num_unsound += !(std::fabs(values[d]) <= kLargestBf16);
    }
    return num_unsound == 0;
}

// What is kept of a token whose value is not sound.
struct Unsound {
    float key[kMaxHeadDim];
    float value[kMaxHeadDim];

    constexpr Unsound() : key{}, value{} {
        for (float& number : key) {
            number = std::numeric_limits<float>::quiet_NaN();
        }
    }
};

// A value that is not finite would reach tokens that do not see it: a weight of zero times infinity is not zero. So the
// key says it, which only those meet that see the token.
void store_kv(const KvLayout& layout, uint8_t* block, size_t slot, const float* key, const float* value) {
    if (!are_sound(value, layout.head_dim)) {
        static constexpr Unsound kUnsound;
        key = kUnsound.key;
        value = kUnsound.value;
    }
    switch (layout.type) {
        case KvType::kF32:
            return store_f32_kv(layout, block, slot, key, value);
        case KvType::kBF16:
            return store_bf16_kv(layout, block, slot, key, value);
        case KvType::kInt8:
            return store_int8_kv(layout, block, slot, key, value);
    }
}

}  // namespace
}  // namespace textmill::engine
