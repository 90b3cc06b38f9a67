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

// The index of the first special one of 16 bytes, 16 where there is none.
inline size_t first_special(const char* at) {
#if defined(__SSE2__)
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    // Compared as signed numbers, bytes above 0x7F are below 0x20 too.
    const __m128i below_space = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
    const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
    const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    const __m128i special = _mm_or_si128(below_space, _mm_or_si128(quote, backslash));
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(special));
    return static_cast<size_t>(std::countr_zero(mask | 1u << kStep));
#else
    size_t i = 0;
    while (i < kStep && !is_special(at[i])) {
        ++i;
    }
    return i;
#endif
}

}  // namespace internal

// Goes behind the plain bytes from `at` on.
inline const char* skip_plain_run(const char* at, const char* end) {
    while (static_cast<size_t>(end - at) >= internal::kStep) {
        const size_t count = internal::first_special(at);
        at += count;
        if (count < internal::kStep) {
            return at;
        }
    }
    while (at < end && !is_special(*at)) {
        ++at;
    }
    return at;
}

// The same, and copies them to `out`, which goes behind them. Up to 15 bytes more are written there, never more in all
// than there are from `at` to `end`.
inline const char* copy_plain_run(const char* at, const char* end, char*& out) {
    while (static_cast<size_t>(end - at) >= internal::kStep) {
        std::memcpy(out, at, internal::kStep);
        const size_t count = internal::first_special(at);
        at += count;
        out += count;
        if (count < internal::kStep) {
            return at;
        }
    }
    while (at < end && !is_special(*at)) {
        *out++ = *at++;
    }
    return at;
}

}  // namespace textmill::text
