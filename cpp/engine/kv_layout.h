// How keys and values lie in a block of 16 tokens of one layer and key-value head.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/inline.h"

namespace textmill::engine {

enum class KvType : uint8_t { kF32, kBF16, kInt8 };
inline constexpr size_t kNumKvTypes = 3;

inline constexpr size_t kBlockTokens = 16;
inline constexpr size_t kMaxHeadDim = 512;

// Keys are kept with the tokens side by side, so that a vector's lanes are tokens and no sum crosses lanes; values with
// the head's dimensions side by side. `padded_dim` is head_dim rounded up to 16; what is added is zero.
//
// kF32    keys [dim][16], values [16][dim]
// kBF16   keys [dim / 2][16][2], values [16 / 2][dim][2]: pairs, as the dot product of bf16 takes them
// kInt8   keys [dim / 4][16][4] with 128 added, values [16][dim]; then a float32 scale of each token's key, and of its
//         value
struct KvLayout {
    KvType type;
    size_t head_dim;

    TEXTMILL_INLINE size_t padded_dim() const { return (head_dim + 15) / 16 * 16; }
    TEXTMILL_INLINE size_t half_bytes() const {  // of keys, and as many of values
        const size_t numbers = padded_dim() * kBlockTokens;
        switch (type) {
            case KvType::kF32:
                return numbers * sizeof(float);
            case KvType::kBF16:
                return numbers * sizeof(uint16_t);
            case KvType::kInt8:
                return numbers;
        }
        return 0;
    }
    TEXTMILL_INLINE size_t scales_at() const { return 2 * half_bytes(); }
    TEXTMILL_INLINE size_t head_bytes() const {
        return scales_at() + (type == KvType::kInt8 ? 2 * kBlockTokens * sizeof(float) : 0);
    }
};

}  // namespace textmill::engine
