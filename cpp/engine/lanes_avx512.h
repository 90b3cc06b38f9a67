// Sixteen floats at once, by AVX-512 with its dot products of bf16 (BF16) and of bytes (VNNI).
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/inline.h"
#include "engine/tile_shape.h"

namespace textmill::engine {
namespace {

// Of 32 registers 16 hold sums, which hides their latency: with 24 large products are no faster and batches of eight
// slower. With eight bits a sum of integers stands beside each of eight.
constexpr TileShape kTileShape = {
    .panels = 2, .rows = 8, .quantized_rows = 4, .panels_of_one_row = 4, .score_blocks = 2, .value_rows = 6};

using Floats = __m512;
using Ints = __m512i;
using Bytes = __m512i;
using Pair = uint32_t;  // two bf16, the first in the low half

TEXTMILL_FUSED Floats zeros() {
    return _mm512_setzero_ps();
}
TEXTMILL_FUSED Floats all(float x) {
    return _mm512_set1_ps(x);
}
TEXTMILL_FUSED Floats load(const float* p) {
    return _mm512_loadu_ps(p);
}
TEXTMILL_FUSED void store(float* p, Floats x) {
    _mm512_storeu_ps(p, x);
}
TEXTMILL_FUSED Floats add(Floats a, Floats b) {
    return _mm512_add_ps(a, b);
}
TEXTMILL_FUSED Floats subtract(Floats a, Floats b) {
    return _mm512_sub_ps(a, b);
}
TEXTMILL_FUSED Floats multiply(Floats a, Floats b) {
    return _mm512_mul_ps(a, b);
}
TEXTMILL_FUSED Floats divide(Floats a, Floats b) {
    return _mm512_div_ps(a, b);
}
// a / b within 3 units in the last place for b from 1 to 2^126, and 0 beyond, in a fourth of the time: an approximate
// inverse and a step of Newton's.
TEXTMILL_FUSED Floats quotient(Floats a, Floats b) {
    const Floats inverse = _mm512_rcp14_ps(b);
    return multiply(a, multiply(inverse, _mm512_fnmadd_ps(b, inverse, all(2.0f))));
}
TEXTMILL_FUSED Floats multiply_add(Floats a, Floats b, Floats c) {
    return _mm512_fmadd_ps(a, b, c);
}
TEXTMILL_FUSED Floats magnitude(Floats a) {
    return _mm512_abs_ps(a);
}
// Of two lanes of which one is NaN, the second.
TEXTMILL_FUSED Floats larger(Floats a, Floats b) {
    return _mm512_max_ps(a, b);
}
TEXTMILL_FUSED Floats smaller(Floats a, Floats b) {
    return _mm512_min_ps(a, b);
}
TEXTMILL_FUSED float sum_of(Floats a) {
    return _mm512_reduce_add_ps(a);
}
TEXTMILL_FUSED float largest_of(Floats a) {
    return _mm512_reduce_max_ps(a);
}
TEXTMILL_FUSED Floats nearest_whole(Floats a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
// a * 2^n for whole n
TEXTMILL_FUSED Floats times_power(Floats a, Floats n) {
    return _mm512_scalef_ps(a, n);
}
// Zero where x is less than least.
TEXTMILL_FUSED Floats zero_below(Floats a, Floats x, float least) {
    return _mm512_mask_mov_ps(a, _mm512_cmp_ps_mask(x, all(least), _CMP_LT_OQ), zeros());
}
// `other` in the lanes before `begin` and from `end` on.
TEXTMILL_FUSED Floats keep_between(Floats a, size_t begin, size_t end, float other) {
    const auto kept = static_cast<__mmask16>((uint32_t{1} << end) - (uint32_t{1} << begin));
    return _mm512_mask_mov_ps(all(other), kept, a);
}

TEXTMILL_FUSED Floats widen_f16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
TEXTMILL_FUSED Floats widen_bf16(const uint16_t* p) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}
// To the nearest, of two equally near the even one; a NaN stays one. Unlike vcvtneps2bf16 this keeps numbers too small
// for a normal float.
TEXTMILL_FUSED void store_bf16(uint16_t* p, Floats a) {
    const Ints bits = _mm512_castps_si512(a);
    const Ints high = _mm512_srli_epi32(bits, 16);
    const Ints odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    const Ints raised = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    const Ints nan = _mm512_or_si512(high, _mm512_set1_epi32(0x40));
    const Ints rounded =
        _mm512_mask_mov_epi32(_mm512_srli_epi32(raised, 16), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), nan);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
}
TEXTMILL_FUSED Floats widen_int8(const int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
// To the nearest, of two equally near the even one.
TEXTMILL_FUSED void store_int8(int8_t* p, Floats a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
}

TEXTMILL_FUSED Ints all_ints(int32_t x) {
    return _mm512_set1_epi32(x);
}
TEXTMILL_FUSED Floats to_floats(Ints a) {
    return _mm512_cvtepi32_ps(a);
}
TEXTMILL_FUSED Bytes load_bytes(const uint8_t* p) {
    return _mm512_loadu_si512(p);
}
TEXTMILL_FUSED Bytes low_nibbles(Bytes a) {
    return _mm512_and_si512(a, _mm512_set1_epi8(15));
}
TEXTMILL_FUSED Bytes high_nibbles(Bytes a) {
    return low_nibbles(_mm512_srli_epi16(a, 4));
}
TEXTMILL_FUSED Bytes same_quad(const int8_t* quad) {
    int32_t four;
    std::memcpy(&four, quad, sizeof(four));
    return _mm512_set1_epi32(four);
}
// What is still in the weights of dot_offset_quads, so that its sums are too large by this times the sum of the quad.
constexpr int32_t kByteOffset = 128;
// Adds to each lane the products of its four weights, kept with 128 added, and of four numbers from -127 to 127 that
// all lanes share.
TEXTMILL_FUSED Ints dot_offset_quads(Ints sum, Bytes weights, const int8_t* quad) {
    return _mm512_dpbusd_epi32(sum, weights, same_quad(quad));
}
// The same for two quads and weights from 0 to 15.
TEXTMILL_FUSED Ints dot_nibble_quads(Ints sum, Bytes first, Bytes second, const int8_t* quads) {
    sum = _mm512_dpbusd_epi32(sum, first, same_quad(quads));
    return _mm512_dpbusd_epi32(sum, second, same_quad(quads + 4));
}

#if defined(__clang__) && __clang_major__ < 17
// clang 16 crashes on the types of bf16 that its own intrinsics take.
TEXTMILL_FUSED Floats dot_pairs(Floats sum, Bytes weights, Pair pair) {
    const Bytes pairs = _mm512_set1_epi32(static_cast<int32_t>(pair));
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(weights), "v"(pairs));
    return sum;
}
TEXTMILL_FUSED void store_pairs(Pair* p, Floats a) {
    __m256i rounded;
    asm("vcvtneps2bf16 %1, %0" : "=v"(rounded) : "v"(a));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), rounded);
}
#else
TEXTMILL_FUSED Floats dot_pairs(Floats sum, Bytes weights, Pair pair) {
    return _mm512_dpbf16_ps(sum, (__m512bh)weights, (__m512bh)_mm512_set1_epi32(static_cast<int32_t>(pair)));
}
// Sixteen floats to eight pairs.
TEXTMILL_FUSED void store_pairs(Pair* p, Floats a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(a));
}
#endif

}  // namespace
}  // namespace textmill::engine
