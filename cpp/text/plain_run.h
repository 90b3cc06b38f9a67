// How far a text goes on without a byte that JSON or UTF-8 has something to say about: 16 bytes at a time.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace textmill::text {

// A byte that ends a plain run: a quote, a backslash, a control character (below 0x20) or a byte above 0x7F.
inline bool is_special(char c) {
    return static_cast<signed char>(c) < 0x20 || c == '"' || c == '\\';
}

namespace internal {

constexpr size_t kStep = 16;

// A bit for each of 16 bytes: which are special. What comes after the first of them may be left out.
inline uint32_t special_mask(const char* at) {
#if defined(__SSE2__)
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // Compared as signed numbers, bytes above 0x7F are below 0x20 too.
    const __m128i below_space = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
    const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    const __m128i special = _mm_or_si128(below_space, _mm_or_si128(quote, backslash));
    return static_cast<uint32_t>(_mm_movemask_epi8(special));
#else
    size_t i = 0;
    while (i < kStep && !is_special(at[i])) {
        ++i;
    }
    return i < kStep ? uint32_t{1} << i : 0;
#endif
}

}  // namespace internal

// Steps are of 16 bytes, not of as many as were plain: the next load is not to wait for the count of the last.

// Goes behind the plain bytes from `at` on.
inline const char* skip_plain_run(const char* at, const char* end) {
    for (; static_cast<size_t>(end - at) >= internal::kStep; at += internal::kStep) {
        if (const uint32_t mask = internal::special_mask(at); mask != 0) {
            return at + std::countr_zero(mask);
        }
    }
    while (at < end && !is_special(*at)) {
        ++at;
    }
    return at;
}

// Copies the plain bytes from `at` on, and returns how many there are. Up to 15 bytes more are written, never more in
// all than there are from `at` to `end`.
inline size_t copy_plain_run(const char* at, const char* end, char* out) {
    const auto num_left = static_cast<size_t>(end - at);
    size_t i = 0;
    for (; i + internal::kStep <= num_left; i += internal::kStep) {
        const uint32_t mask = internal::special_mask(at + i);
        std::memcpy(out + i, at + i, internal::kStep);
        if (mask != 0) {
            return i + static_cast<size_t>(std::countr_zero(mask));
        }
    }
    for (; i < num_left && !is_special(at[i]); ++i) {
        out[i] = at[i];
    }
    return i;
}

}  // namespace textmill::text
