// Sixteen floats at once in four vectors of GCC's and clang's C++, which become what the processor has.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/inline.h"
#include "engine/tile_shape.h"

namespace textmill::engine {
namespace {

static_assert(std::endian::native == std::endian::little, "weights and models lie in memory with the low byte first");

// A panel's sums for four rows are 16 vectors: half of NEON's registers. With the 16 of SSE2 fewer rows were no faster.
constexpr TileShape kTileShape = {
    .panels = 1, .rows = 4, .quantized_rows = 4, .panels_of_one_row = 2, .score_blocks = 1, .value_rows = 3};

using FourFloats = float __attribute__((vector_size(16)));
using FourInts = int32_t __attribute__((vector_size(16)));
using FourWords = uint32_t __attribute__((vector_size(16)));
using EightHalves = uint16_t __attribute__((vector_size(16)));
using EightShorts = int16_t __attribute__((vector_size(16)));

struct Floats {
    FourFloats part[4];
};
struct Ints {
    FourInts part[4];
};
struct Bytes {
    FourWords part[4];
};
struct Pair {
    float first;
    float second;
};

template <typename T, typename F>
TEXTMILL_FUSED T each_part(F&& f) {
    return {{f(0), f(1), f(2), f(3)}};
}
template <typename Vector, typename T>
TEXTMILL_FUSED Vector read(const T* p) {
    Vector out;
    std::memcpy(&out, p, sizeof(out));
    return out;
}

TEXTMILL_FUSED FourFloats four(float x) {
    return FourFloats{x, x, x, x};
}
TEXTMILL_FUSED Floats all(float x) {
    return each_part<Floats>([&](size_t) { return four(x); });
}
TEXTMILL_FUSED Floats zeros() {
    return all(0.0f);
}
TEXTMILL_FUSED Floats load(const float* p) {
    return each_part<Floats>([&](size_t i) { return read<FourFloats>(p + 4 * i); });
}
TEXTMILL_FUSED void store(float* p, const Floats& x) {
    const auto store_part = [&](size_t i) { std::memcpy(p + 4 * i, &x.part[i], sizeof(x.part[i])); };
    store_part(0);
    store_part(1);
    store_part(2);
    store_part(3);
}
TEXTMILL_FUSED Floats add(const Floats& a, const Floats& b) {
    return each_part<Floats>([&](size_t i) { return a.part[i] + b.part[i]; });
}
TEXTMILL_FUSED Floats subtract(const Floats& a, const Floats& b) {
    return each_part<Floats>([&](size_t i) { return a.part[i] - b.part[i]; });
}
TEXTMILL_FUSED Floats multiply(const Floats& a, const Floats& b) {
    return each_part<Floats>([&](size_t i) { return a.part[i] * b.part[i]; });
}
TEXTMILL_FUSED Floats divide(const Floats& a, const Floats& b) {
    return each_part<Floats>([&](size_t i) { return a.part[i] / b.part[i]; });
}
// As good as divide, where a tier has nothing faster.
TEXTMILL_FUSED Floats quotient(const Floats& a, const Floats& b) {
    return divide(a, b);
}
// Rounded twice: not every processor has one instruction for it, and the file is compiled without contraction.
TEXTMILL_FUSED Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
    return each_part<Floats>([&](size_t i) { return a.part[i] * b.part[i] + c.part[i]; });
}
TEXTMILL_FUSED FourFloats without_sign(FourFloats a) {
    return std::bit_cast<FourFloats>(std::bit_cast<FourWords>(a) & 0x7fffffffu);
}
TEXTMILL_FUSED Floats magnitude(const Floats& a) {
    return each_part<Floats>([&](size_t i) { return without_sign(a.part[i]); });
}
// Of two lanes of which one is NaN, the second.
TEXTMILL_FUSED FourFloats larger_of(FourFloats a, FourFloats b) {
    return a > b ? a : b;
}
TEXTMILL_FUSED Floats larger(const Floats& a, const Floats& b) {
    return each_part<Floats>([&](size_t i) { return larger_of(a.part[i], b.part[i]); });
}
TEXTMILL_FUSED Floats smaller(const Floats& a, const Floats& b) {
    return each_part<Floats>([&](size_t i) { return a.part[i] < b.part[i] ? a.part[i] : b.part[i]; });
}
TEXTMILL_FUSED float sum_of(const Floats& a) {
    const FourFloats sums = (a.part[0] + a.part[2]) + (a.part[1] + a.part[3]);
    return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}
TEXTMILL_FUSED float largest_of(const Floats& a) {
    const FourFloats most = larger_of(larger_of(a.part[0], a.part[1]), larger_of(a.part[2], a.part[3]));
    return std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
}
// For magnitudes below 2^22: adding 1.5 * 2^23 leaves no bits behind the point.
TEXTMILL_FUSED Floats nearest_whole(const Floats& a) {
    return each_part<Floats>([&](size_t i) { return (a.part[i] + 0x1.8p23f) - 0x1.8p23f; });
}
// a * 2^n for whole n from -126 to 127; any value where n is NaN, as a is then.
TEXTMILL_FUSED Floats times_power(const Floats& a, const Floats& n) {
    return each_part<Floats>([&](size_t i) {
        const FourWords biased = std::bit_cast<FourWords>(n.part[i] + (0x1.8p23f + 127.0f));
        return a.part[i] * std::bit_cast<FourFloats>(biased << 23);
    });
}
// Zero where x is less than least.
TEXTMILL_FUSED Floats zero_below(const Floats& a, const Floats& x, float least) {
    return each_part<Floats>([&](size_t i) { return x.part[i] < four(least) ? four(0.0f) : a.part[i]; });
}
// `other` in the lanes before `begin` and from `end` on.
TEXTMILL_FUSED Floats keep_between(const Floats& a, size_t begin, size_t end, float other) {
    const auto first = static_cast<int32_t>(begin);
    const auto last = static_cast<int32_t>(end);
    return each_part<Floats>([&](size_t i) {
        const FourInts places = FourInts{0, 1, 2, 3} + static_cast<int32_t>(4 * i);
        const FourInts kept = (places >= first) & (places < last);
        return kept ? a.part[i] : four(other);
    });
}

// float16 to float, whatever it holds, as half.h does it for one.
TEXTMILL_FUSED FourFloats widen_four_f16(FourWords halves) {
    const FourWords magnitude = halves & 0x7fffu;
    const FourWords shifted = magnitude << 13;
    const FourFloats denormal = __builtin_convertvector(std::bit_cast<FourInts>(magnitude), FourFloats) * 0x1p-24f;
    const FourWords normal = shifted + (112u << 23);
    const FourWords finite = magnitude < 0x400u ? std::bit_cast<FourWords>(denormal) : normal;
    const FourWords bits = magnitude < 0x7c00u ? finite : shifted | 0x7f800000u;
    return std::bit_cast<FourFloats>(bits | (halves & 0x8000u) << 16);
}
TEXTMILL_FUSED Floats widen_f16(const uint16_t* p) {
    return each_part<Floats>([&](size_t i) {
        const auto first = read<uint32_t>(p + 4 * i);
        const auto second = read<uint32_t>(p + 4 * i + 2);
        return widen_four_f16(FourWords{first, first, second, second} >> FourWords{0, 16, 0, 16} & 0xffffu);
    });
}
TEXTMILL_FUSED Floats widen_bf16(const uint16_t* p) {
    return each_part<Floats>([&](size_t i) {
        const auto first = read<uint32_t>(p + 4 * i);
        const auto second = read<uint32_t>(p + 4 * i + 2);
        const FourWords at_top = FourWords{first, first, second, second} << FourWords{16, 0, 16, 0};
        return std::bit_cast<FourFloats>(at_top & 0xffff0000u);
    });
}
// To the nearest, of two equally near the even one; a NaN stays one.
TEXTMILL_FUSED void store_bf16(uint16_t* p, const Floats& a) {
    for (size_t i = 0; i < 4; ++i) {
        const auto bits = std::bit_cast<FourWords>(a.part[i]);
        const FourWords high = bits >> 16;
        const FourWords rounded = (bits + 0x7fffu + (high & 1u)) >> 16;
        const FourWords kept = (bits & 0x7fffffffu) > 0x7f800000u ? high | 0x40u : rounded;
        for (size_t lane = 0; lane < 4; ++lane) {
            p[4 * i + lane] = static_cast<uint16_t>(kept[lane]);
        }
    }
}
// Each byte of a word is shifted to the top of a lane of its own, and comes down with its sign.
TEXTMILL_FUSED Floats widen_int8(const int8_t* p) {
    return each_part<Floats>([&](size_t i) {
        const auto word = read<uint32_t>(p + 4 * i);
        const FourWords at_top = FourWords{word, word, word, word} << FourWords{24, 16, 8, 0};
        return __builtin_convertvector(std::bit_cast<FourInts>(at_top) >> 24, FourFloats);
    });
}
// NaN and what is out of range have no number: 0, and the scale beside it says what it is.
TEXTMILL_FUSED void store_int8(int8_t* p, const Floats& a) {
    const Floats whole = nearest_whole(a);
    const Ints numbers = each_part<Ints>([&](size_t i) {
        const FourFloats kept = without_sign(whole.part[i]) <= four(128.0f) ? whole.part[i] : four(0.0f);
        return __builtin_convertvector(kept, FourInts);
    });
    for (size_t i = 0; i < 16; ++i) {
        p[i] = static_cast<int8_t>(numbers.part[i / 4][i % 4]);
    }
}

TEXTMILL_FUSED Ints all_ints(int32_t x) {
    return each_part<Ints>([&](size_t) { return FourInts{x, x, x, x}; });
}
TEXTMILL_FUSED Floats to_floats(const Ints& a) {
    return each_part<Floats>([&](size_t i) { return __builtin_convertvector(a.part[i], FourFloats); });
}
TEXTMILL_FUSED Bytes load_bytes(const uint8_t* p) {
    return each_part<Bytes>([&](size_t i) { return read<FourWords>(p + 16 * i); });
}
TEXTMILL_FUSED Bytes low_nibbles(const Bytes& a) {
    return each_part<Bytes>([&](size_t i) { return a.part[i] & 0x0f0f0f0fu; });
}
TEXTMILL_FUSED Bytes high_nibbles(const Bytes& a) {
    return each_part<Bytes>([&](size_t i) { return a.part[i] >> 4 & 0x0f0f0f0fu; });
}

// The even and the odd ones of neighbouring bytes, widened to 16 bits.
struct Halves {
    EightHalves even;
    EightHalves odd;
};
TEXTMILL_FUSED Halves widen_signed(FourWords bytes) {
    const auto both = std::bit_cast<EightShorts>(bytes);
    return {std::bit_cast<EightHalves>(both << 8 >> 8), std::bit_cast<EightHalves>(both >> 8)};
}
TEXTMILL_FUSED Halves widen_unsigned(FourWords bytes) {
    const auto both = std::bit_cast<EightHalves>(bytes);
    return {both & 0xff, both >> 8};
}
TEXTMILL_FUSED Halves same_quad(const int8_t* quad) {
    const auto word = read<uint32_t>(quad);
    return widen_signed(FourWords{word, word, word, word});
}
TEXTMILL_FUSED EightHalves products(const Halves& weights, const Halves& numbers) {
    return weights.even * numbers.even + weights.odd * numbers.odd;
}
TEXTMILL_FUSED FourInts add_neighbours(FourInts sum, EightHalves both) {
    const auto words = std::bit_cast<FourInts>(both);
    return sum + (words << 16 >> 16) + (words >> 16);
}
// Nothing is left in the sums of the 128 that was added to the weights: with their signs the sums of two products,
// 2 * 128 * 127 at most, have room in 16 bits.
constexpr int32_t kByteOffset = 0;
TEXTMILL_FUSED Ints dot_offset_quads(const Ints& sum, const Bytes& weights, const int8_t* quad) {
    const Halves numbers = same_quad(quad);
    return each_part<Ints>([&](size_t i) {
        return add_neighbours(sum.part[i], products(widen_signed(weights.part[i] ^ 0x80808080u), numbers));
    });
}
TEXTMILL_FUSED Ints dot_nibble_quads(const Ints& sum, const Bytes& first, const Bytes& second, const int8_t* quads) {
    const Halves numbers = same_quad(quads);
    const Halves next_numbers = same_quad(quads + 4);
    return each_part<Ints>([&](size_t i) {
        return add_neighbours(sum.part[i], products(widen_unsigned(first.part[i]), numbers) +
                                               products(widen_unsigned(second.part[i]), next_numbers));
    });
}

TEXTMILL_FUSED Floats dot_pairs(const Floats& sum, const Bytes& weights, const Pair& pair) {
    return each_part<Floats>([&](size_t i) {
        const auto first = std::bit_cast<FourFloats>(weights.part[i] << 16);
        const auto second = std::bit_cast<FourFloats>(weights.part[i] & 0xffff0000u);
        return (sum.part[i] + first * pair.first) + second * pair.second;
    });
}
TEXTMILL_FUSED void store_pairs(Pair* p, const Floats& a) {
    store(&p->first, a);
}

}  // namespace
}  // namespace textmill::engine
