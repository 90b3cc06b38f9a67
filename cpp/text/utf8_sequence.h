// Well-formed UTF-8 sequences (Unicode 16, table 3-7): their length, and how they are written.
#pragma once

#include <cstddef>
#include <cstdint>

namespace textmill::text {

// The bytes, 2 to 4, of the character beyond ASCII that starts at `at`; 0 where it is not well formed, as Python's
// strict decoder judges: no overlong forms, no surrogates, nothing above U+10FFFF.
inline size_t multibyte_length(const char* at, const char* end) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(at[i]); };
    const auto is_trail = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
    const auto num_left = static_cast<size_t>(end - at);
    const uint8_t lead = byte(0);
    if (lead < 0xE0) {
        return lead >= 0xC2 && num_left >= 2 && is_trail(1) ? 2 : 0;
    }
    if (lead < 0xF0) {
        if (num_left < 3 || !is_trail(1) || !is_trail(2)) {
            return 0;
        }
        return (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) >= 0xA0) ? 0 : 3;
    }
    if (lead > 0xF4 || num_left < 4 || !is_trail(1) || !is_trail(2) || !is_trail(3)) {
        return 0;
    }
    return (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) >= 0x90) ? 0 : 4;
}

// Writes a code point, 1 to 4 bytes; returns the end.
inline char* put_utf8(uint32_t code_point, char* out) {
    const auto put = [&](uint32_t byte) { *out++ = static_cast<char>(byte); };
    const auto trail = [&](uint32_t shift) { return 0x80 | (code_point >> shift & 0x3F); };
    if (code_point < 0x80) {
        put(code_point);
    } else if (code_point < 0x800) {
        put(0xC0 | code_point >> 6);
        put(trail(0));
    } else if (code_point < 0x10000) {
        put(0xE0 | code_point >> 12);
        put(trail(6));
        put(trail(0));
    } else {
        put(0xF0 | code_point >> 18);
        put(trail(12));
        put(trail(6));
        put(trail(0));
    }
    return out;
}

}  // namespace textmill::text
