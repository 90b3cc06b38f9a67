// Words of 8 bytes out of a text, the same number on every machine.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace textmill::text {

// The word of `num_bytes` (up to 8), least byte first; what is missing is zero.
inline uint64_t word_at(const char* bytes, size_t num_bytes) {
    uint64_t word = 0;
    if constexpr (std::endian::native == std::endian::little) {
        if (num_bytes > 0) {
            std::memcpy(&word, bytes, num_bytes);
        }
    } else {
        for (size_t i = 0; i < num_bytes; ++i) {
            word |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
        }
    }
    return word;
}

inline uint64_t word_at(const char* bytes) {
    return word_at(bytes, sizeof(uint64_t));
}

}  // namespace textmill::text
