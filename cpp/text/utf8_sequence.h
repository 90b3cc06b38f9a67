// The length of a well-formed UTF-8 sequence (Unicode 16, table 3-7).
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

}  // namespace textmill::text
