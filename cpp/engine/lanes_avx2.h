// Sixteen floats at once, by AVX2 with FMA and F16C; with the dot products of bytes of AVX-VNNI, where the file is
// compiled for them, which give the same bits.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/inline.h"
#include "engine/tile_shape.h"

namespace textmill::engine {
namespace {

// Twelve of the 16 registers hold the sums of six rows, two the weights; with eight bits the integers of four rows
// fill eight, beside the weights in two forms, and their sums wait in memory.
constexpr TileShape kTileShape = {
    .panels = 1, .rows = 6, .quantized_rows = 4, .panels_of_one_row = 3, .score_blocks = 1, .value_rows = 3};

struct Floats {
    __m256 low;
    __m256 high;
};
struct Ints {
    __m256i low;
    __m256i high;
};
using Bytes = Ints;
struct Pair {
    float first;
    float second;
};

TEXTMILL_FUSED Floats all(float x) {
    return {_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
TEXTMILL_FUSED Floats zeros() {
    return {_mm256_setzero_ps(), _mm256_setzero_ps()};
}
TEXTMILL_FUSED Floats load(const float* p) {
    return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
TEXTMILL_FUSED void store(float* p, const Floats& x) {
    _mm256_storeu_ps(p, x.low);
    _mm256_storeu_ps(p + 8, x.high);
}
TEXTMILL_FUSED Floats add(const Floats& a, const Floats& b) {
    return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
TEXTMILL_FUSED Floats subtract(const Floats& a, const Floats& b) {
    return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
TEXTMILL_FUSED Floats multiply(const Floats& a, const Floats& b) {
    return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
TEXTMILL_FUSED Floats divide(const Floats& a, const Floats& b) {
    return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
// As good as divide, where a tier has nothing faster.
TEXTMILL_FUSED Floats quotient(const Floats& a, const Floats& b) {
    return divide(a, b);
}
TEXTMILL_FUSED Floats multiply_add(const Floats& a, const Floats& b, const Floats& c) {
    return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
TEXTMILL_FUSED Floats magnitude(const Floats& a) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return {_mm256_andnot_ps(sign, a.low), _mm256_andnot_ps(sign, a.high)};
}
// Of two lanes of which one is NaN, the second.
TEXTMILL_FUSED Floats larger(const Floats& a, const Floats& b) {
    return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}
TEXTMILL_FUSED Floats smaller(const Floats& a, const Floats& b) {
    return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
TEXTMILL_FUSED float sum_of(const Floats& a) {
    const __m256 eight = _mm256_add_ps(a.low, a.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
TEXTMILL_FUSED float largest_of(const Floats& a) {
    const __m256 eight = _mm256_max_ps(a.low, a.high);
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
TEXTMILL_FUSED Floats nearest_whole(const Floats& a) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(a.low, kNearest), _mm256_round_ps(a.high, kNearest)};
}
TEXTMILL_FUSED __m256 power_of_two(__m256 n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
// a * 2^n for whole n from -126 to 127; any value where n is NaN, as a is then.
TEXTMILL_FUSED Floats times_power(const Floats& a, const Floats& n) {
    return multiply(a, {power_of_two(n.low), power_of_two(n.high)});
}
// Zero where x is less than least.
TEXTMILL_FUSED Floats zero_below(const Floats& a, const Floats& x, float least) {
    const __m256 bound = _mm256_set1_ps(least);
    return {_mm256_andnot_ps(_mm256_cmp_ps(x.low, bound, _CMP_LT_OQ), a.low),
            _mm256_andnot_ps(_mm256_cmp_ps(x.high, bound, _CMP_LT_OQ), a.high)};
}
// `other` in the lanes before `begin` and from `end` on.
TEXTMILL_FUSED Floats keep_between(const Floats& a, size_t begin, size_t end, float other) {
    const __m256i first = _mm256_set1_epi32(static_cast<int32_t>(begin) - 1);
    const __m256i last = _mm256_set1_epi32(static_cast<int32_t>(end));
    const auto keep = [&](__m256 lanes, __m256i places) {
        const __m256i kept = _mm256_and_si256(_mm256_cmpgt_epi32(places, first), _mm256_cmpgt_epi32(last, places));
        return _mm256_blendv_ps(_mm256_set1_ps(other), lanes, _mm256_castsi256_ps(kept));
    };
    return {keep(a.low, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
            keep(a.high, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}

TEXTMILL_FUSED Floats widen_f16(const uint16_t* p) {
    const auto* const halves = reinterpret_cast<const __m128i*>(p);
    return {_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}
TEXTMILL_FUSED Floats widen_bf16(const uint16_t* p) {
    const auto widen = [&](size_t at) TEXTMILL_LAMBDA_FUSED {
        const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p + at));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
    };
    return {widen(0), widen(8)};
}
TEXTMILL_FUSED __m256i rounded_to_bf16(__m256 a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i high = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    const __m256i raised = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    const __m256i nan = _mm256_or_si256(high, _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_srli_epi32(raised, 16), nan, is_nan);
}
// To the nearest, of two equally near the even one; a NaN stays one.
TEXTMILL_FUSED void store_bf16(uint16_t* p, const Floats& a) {
    // Packing takes turns between the halves of its operands.
    const __m256i mixed = _mm256_packus_epi32(rounded_to_bf16(a.low), rounded_to_bf16(a.high));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(mixed, 0b11011000));
}
TEXTMILL_FUSED Floats widen_int8(const int8_t* p) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
            _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)))};
}
// To the nearest, of two equally near the even one. Bytes are cut off and not saturated, so that what has no number,
// whose integer is the least one, becomes 0.
TEXTMILL_FUSED void store_int8(int8_t* p, const Floats& a) {
    const __m256i first_bytes = _mm256_set1_epi32(0x0c080400);
    const __m256i low = _mm256_shuffle_epi8(_mm256_cvtps_epi32(a.low), first_bytes);
    const __m256i high = _mm256_shuffle_epi8(_mm256_cvtps_epi32(a.high), first_bytes);
    const __m256i fours = _mm256_unpacklo_epi32(low, high);  // lanes 0 to 3 and 8 to 11, then 4 to 7 and 12 to 15
    const __m128i sixteen = _mm_unpacklo_epi32(_mm256_castsi256_si128(fours), _mm256_extracti128_si256(fours, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), sixteen);
}

TEXTMILL_FUSED Ints all_ints(int32_t x) {
    return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
TEXTMILL_FUSED Floats to_floats(const Ints& a) {
    return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)};
}
TEXTMILL_FUSED Bytes load_bytes(const uint8_t* p) {
    const auto* const halves = reinterpret_cast<const __m256i*>(p);
    return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
}
TEXTMILL_FUSED Bytes low_nibbles(const Bytes& a) {
    const __m256i mask = _mm256_set1_epi8(15);
    return {_mm256_and_si256(a.low, mask), _mm256_and_si256(a.high, mask)};
}
TEXTMILL_FUSED Bytes high_nibbles(const Bytes& a) {
    return low_nibbles({_mm256_srli_epi16(a.low, 4), _mm256_srli_epi16(a.high, 4)});
}
TEXTMILL_FUSED __m256i same_quad(const int8_t* quad) {
    int32_t four;
    std::memcpy(&four, quad, sizeof(four));
    return _mm256_set1_epi32(four);
}

#if defined(__AVXVNNI__)
TEXTMILL_FUSED __m256i dot(__m256i sum, __m256i weights, __m256i quad) {
    return _mm256_dpbusd_avx_epi32(sum, weights, quad);
}
// What is still in the weights of dot_offset_quads, so that its sums are too large by this times the sum of the quad.
constexpr int32_t kByteOffset = 128;
// Adds to each lane the products of its four weights, kept with 128 added, and of four numbers from -127 to 127 that
// all lanes share.
TEXTMILL_FUSED Ints dot_offset_quads(const Ints& sum, const Bytes& weights, const int8_t* quad) {
    const __m256i numbers = same_quad(quad);
    return {dot(sum.low, weights.low, numbers), dot(sum.high, weights.high, numbers)};
}
// The same for two quads and weights from 0 to 15.
TEXTMILL_FUSED Ints dot_nibble_quads(const Ints& sum, const Bytes& first, const Bytes& second, const int8_t* quads) {
    return dot_offset_quads(dot_offset_quads(sum, first, quads), second, quads + 4);
}
#else
TEXTMILL_FUSED __m256i add_neighbours(__m256i sum, __m256i products) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(products, _mm256_set1_epi16(1)));
}
// Sums of two products saturate in 16 bits; with the weights' signs given to the numbers they are 2 * 128 * 127 at
// most.
TEXTMILL_FUSED __m256i dot_signed(__m256i sum, __m256i offset_weights, __m256i quad) {
    const __m256i weights = _mm256_xor_si256(offset_weights, _mm256_set1_epi8(-128));
    return add_neighbours(sum, _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(quad, weights)));
}
// Nothing is left of the 128 that was added to the weights.
constexpr int32_t kByteOffset = 0;
TEXTMILL_FUSED Ints dot_offset_quads(const Ints& sum, const Bytes& weights, const int8_t* quad) {
    const __m256i numbers = same_quad(quad);
    return {dot_signed(sum.low, weights.low, numbers), dot_signed(sum.high, weights.high, numbers)};
}
TEXTMILL_FUSED __m256i dot_nibbles(__m256i sum, __m256i first, __m256i second, const int8_t* quads) {
    const __m256i products = _mm256_maddubs_epi16(first, same_quad(quads));
    return add_neighbours(sum, _mm256_add_epi16(products, _mm256_maddubs_epi16(second, same_quad(quads + 4))));
}
TEXTMILL_FUSED Ints dot_nibble_quads(const Ints& sum, const Bytes& first, const Bytes& second, const int8_t* quads) {
    return {dot_nibbles(sum.low, first.low, second.low, quads), dot_nibbles(sum.high, first.high, second.high, quads)};
}
#endif

// Products of bf16 weights, widened, and of two floats that are not rounded to bf16.
TEXTMILL_FUSED __m256 dot_pair(__m256 sum, __m256i weights, const Pair& pair) {
    const __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(weights, 16));
    const __m256 second = _mm256_castsi256_ps(_mm256_and_si256(weights, _mm256_set1_epi32(-65536)));
    sum = _mm256_fmadd_ps(first, _mm256_broadcast_ss(&pair.first), sum);
    return _mm256_fmadd_ps(second, _mm256_broadcast_ss(&pair.second), sum);
}
TEXTMILL_FUSED Floats dot_pairs(const Floats& sum, const Bytes& weights, const Pair& pair) {
    return {dot_pair(sum.low, weights.low, pair), dot_pair(sum.high, weights.high, pair)};
}
TEXTMILL_FUSED void store_pairs(Pair* p, const Floats& a) {
    store(&p->first, a);
}

}  // namespace
}  // namespace textmill::engine
