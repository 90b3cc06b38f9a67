// Which of 64 bytes are ASCII letters or digits, and which are beyond ASCII.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace textmill::text {

constexpr size_t kWindowBytes = 64;

// Bit i speaks of byte i.
struct WindowMasks {
    uint64_t words;
    uint64_t high;
};

#if defined(__SSE2__)

inline WindowMasks window_masks(const char* window) {
    // Bytes moved so that those wanted are the least signed numbers.
    const auto within = [](__m128i bytes, char first, int count) {
        const __m128i moved = _mm_add_epi8(bytes, _mm_set1_epi8(static_cast<char>(-128 - first)));
        return _mm_cmplt_epi8(moved, _mm_set1_epi8(static_cast<char>(-128 + count)));
    };
    WindowMasks masks{0, 0};
    for (int i = 0; i < 4; ++i) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(window) + i);
        const __m128i letters = within(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), 'a', 26);
        const __m128i words = _mm_or_si128(letters, within(bytes, '0', 10));
        masks.words |= uint64_t{static_cast<uint32_t>(_mm_movemask_epi8(words))} << (16 * i);
        masks.high |= uint64_t{static_cast<uint32_t>(_mm_movemask_epi8(bytes))} << (16 * i);
    }
    return masks;
}

#else

inline WindowMasks window_masks(const char* window) {
    WindowMasks masks{0, 0};
    for (size_t i = 0; i < kWindowBytes; ++i) {
        const auto byte = static_cast<uint8_t>(window[i]);
        const bool is_letter = static_cast<uint8_t>((byte | 0x20) - 'a') < 26;
        const bool is_digit = static_cast<uint8_t>(byte - '0') < 10;
        masks.words |= uint64_t{is_letter || is_digit} << i;
        masks.high |= uint64_t{byte >= 0x80} << i;
    }
    return masks;
}

#endif

}  // namespace textmill::text
