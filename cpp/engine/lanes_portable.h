// Sixteen floats at once in plain C++, which the compiler turns into what the processor has.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/half.h"
#include "engine/inline.h"
#include "engine/tile_shape.h"

namespace textmill::engine {
namespace {

// Where a register holds four floats, one panel's sums for two rows fill eight.
constexpr TileShape kTileShape = {.panels = 1, .rows = 2, .quantized_rows = 1, .panels_of_one_row = 2};

struct Floats {
    float lane[16];
};
struct Ints {
    int32_t lane[16];
};
struct Bytes {
    uint8_t byte[64];
};
struct Pair {
    float first;
    float second;
};

template <typename F>
TEXTMILL_FUSED Floats each_lane(F&& f) {
    Floats out;
    for (size_t i = 0; i < 16; ++i) {
        out.lane[i] = f(i);
    }
    return out;
}

TEXTMILL_FUSED Floats all(float x) {
    return each_lane([&](size_t) { return x; });
}
TEXTMILL_FUSED Floats zeros() {
    return all(0.0f);
}
TEXTMILL_FUSED Floats load(const float* p) {
    Floats out;
    std::memcpy(out.lane, p, sizeof(out.lane));
    return out;
}
TEXTMILL_FUSED void store(float* p, const Floats& x) {
    std::memcpy(p, x.lane, sizeof(x.lane));
}
TEXTMILL_FUSED Floats add(const Floats& a, const Floats& b) {
    return each_lane([&](size_t i) { return a.lane[i] + b.lane[i]; });
}
TEXTMILL_FUSED Floats subtract(const Floats& a, const Floats& b) {
    return each_lane([&](size_t i) { return a.lane[i] - b.lane[i]; });
}
TEXTMILL_FUSED Floats multiply(const Floats& a, const Floats& b) {
    return each_lane([&](size_t i) { return a.lane[i] * b.lane[i]; });
}
TEXTMILL_FUSED Floats divide(const Floats& a, const Floats& b) {
    return each_lane([&](size_t i) { return a.lane[i] / b.lane[i]; });
}
// Rounded twice: not every processor has one instruction for it, and the file is compiled without contraction.
TEXTMILL_FUSED Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
    return each_lane([&](size_t i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
TEXTMILL_FUSED Floats magnitude(const Floats& a) {
    return each_lane([&](size_t i) { return std::fabs(a.lane[i]); });
}
// Of two lanes of which one is NaN, the second.
TEXTMILL_FUSED Floats larger(const Floats& a, const Floats& b) {
    return each_lane([&](size_t i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
TEXTMILL_FUSED Floats smaller(const Floats& a, const Floats& b) {
    return each_lane([&](size_t i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
TEXTMILL_FUSED float sum_of(Floats a) {
    for (size_t width = 8; width > 0; width /= 2) {
        for (size_t i = 0; i < width; ++i) {
            a.lane[i] += a.lane[i + width];
        }
    }
    return a.lane[0];
}
TEXTMILL_FUSED float largest_of(const Floats& a) {
    float largest = a.lane[0];
    for (size_t i = 1; i < 16; ++i) {
        largest = a.lane[i] > largest ? a.lane[i] : largest;
    }
    return largest;
}
// For magnitudes below 2^22: adding 1.5 * 2^23 leaves no bits behind the point.
TEXTMILL_FUSED Floats nearest_whole(const Floats& a) {
    return each_lane([&](size_t i) { return (a.lane[i] + 0x1.8p23f) - 0x1.8p23f; });
}
// a * 2^n for whole n from -126 to 127; any value where n is NaN, as a is then.
TEXTMILL_FUSED Floats times_power(const Floats& a, const Floats& n) {
    return each_lane([&](size_t i) {
        const uint32_t biased = std::bit_cast<uint32_t>(n.lane[i] + (0x1.8p23f + 127.0f));
        return a.lane[i] * std::bit_cast<float>(biased << 23);
    });
}
TEXTMILL_FUSED Floats zero_below(const Floats& a, const Floats& x, float least) {
    return each_lane([&](size_t i) { return x.lane[i] < least ? 0.0f : a.lane[i]; });
}
TEXTMILL_FUSED Floats keep_between(const Floats& a, size_t begin, size_t end, float other) {
    return each_lane([&](size_t i) { return i >= begin && i < end ? a.lane[i] : other; });
}

TEXTMILL_FUSED Floats widen_f16(const uint16_t* p) {
    return each_lane([&](size_t i) { return f16_to_float(p[i]); });
}
TEXTMILL_FUSED Floats widen_int8(const int8_t* p) {
    return each_lane([&](size_t i) { return static_cast<float>(p[i]); });
}
TEXTMILL_FUSED void store_int8(int8_t* p, const Floats& a) {
    const Floats whole = nearest_whole(a);
    for (size_t i = 0; i < 16; ++i) {
        // NaN and what is out of range have no number: 0, and the scale beside it says what it is.
        p[i] =
            std::fabs(whole.lane[i]) <= 128.0f ? static_cast<int8_t>(static_cast<int32_t>(whole.lane[i])) : int8_t{0};
    }
}

TEXTMILL_FUSED Ints all_ints(int32_t x) {
    Ints out;
    for (int32_t& lane : out.lane) {
        lane = x;
    }
    return out;
}
TEXTMILL_FUSED Floats to_floats(const Ints& a) {
    return each_lane([&](size_t i) { return static_cast<float>(a.lane[i]); });
}
TEXTMILL_FUSED Bytes load_bytes(const uint8_t* p) {
    Bytes out;
    std::memcpy(out.byte, p, sizeof(out.byte));
    return out;
}
TEXTMILL_FUSED Bytes low_nibbles(const Bytes& a) {
    Bytes out;
    for (size_t i = 0; i < 64; ++i) {
        out.byte[i] = a.byte[i] & 15;
    }
    return out;
}
TEXTMILL_FUSED Bytes high_nibbles(const Bytes& a) {
    Bytes out;
    for (size_t i = 0; i < 64; ++i) {
        out.byte[i] = static_cast<uint8_t>(a.byte[i] >> 4);
    }
    return out;
}
// What is still in the weights of dot_offset_quads, so that its sums are too large by this times the sum of the quad.
constexpr int32_t kByteOffset = 128;
TEXTMILL_FUSED Ints dot_offset_quads(Ints sum, const Bytes& weights, const int8_t* quad) {
    for (size_t i = 0; i < 16; ++i) {
        for (size_t j = 0; j < 4; ++j) {
            sum.lane[i] += weights.byte[4 * i + j] * quad[j];
        }
    }
    return sum;
}
TEXTMILL_FUSED Ints dot_nibble_quads(const Ints& sum, const Bytes& first, const Bytes& second, const int8_t* quads) {
    return dot_offset_quads(dot_offset_quads(sum, first, quads), second, quads + 4);
}

// The pair is read as eight bytes at once: read as two floats, GCC 12 gathers them with those of a row that is not
// there.
TEXTMILL_FUSED Floats dot_pairs(const Floats& sum, const Bytes& weights, const Pair& in) {
    uint64_t bits;
    std::memcpy(&bits, &in, sizeof(bits));
    const Pair pair = {std::bit_cast<float>(static_cast<uint32_t>(bits)),
                       std::bit_cast<float>(static_cast<uint32_t>(bits >> 32))};
    uint32_t both[16];
    std::memcpy(both, weights.byte, sizeof(both));
    return each_lane([&](size_t i) {
        const float first = std::bit_cast<float>(both[i] << 16);
        const float second = std::bit_cast<float>(both[i] & 0xffff0000u);
        return (sum.lane[i] + first * pair.first) + second * pair.second;
    });
}
TEXTMILL_FUSED void store_pairs(Pair* p, const Floats& a) {
    std::memcpy(p, a.lane, sizeof(a.lane));
}

}  // namespace
}  // namespace textmill::engine
