// Questions to 64 bytes at once: bit i of an answer speaks of byte i.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "text/little_endian.h"

namespace textmill::text {

constexpr size_t kWindowBytes = 64;

class ByteWindow {
  public:
    explicit ByteWindow(const char* bytes) { std::memcpy(parts_.data(), bytes, kWindowBytes); }

    // Bytes beyond ASCII.
    uint64_t high() const {
        return ask([](Part part) { return part; });
    }

    // Bytes that are letters of ASCII once they are in small letters.
    uint64_t letters() const {
        return ask([](Part part) { return within(part | all(0x20), 'a', 26); });
    }

    // Bytes from `first` on, `count` of them.
    uint64_t range(char first, int count) const {
        return ask([=](Part part) { return within(part, first, count); });
    }

    uint64_t equal(char byte) const {
        return ask([=](Part part) { return Part(part == all(byte)); });
    }

    // Bytes that are the same in both windows.
    uint64_t equal(const ByteWindow& other) const {
        uint64_t mask = 0;
        for (size_t i = 0; i < kParts; ++i) {
            mask |= top_bits(Part(parts_[i] == other.parts_[i])) << (kPartBytes * i);
        }
        return mask;
    }

  private:
    static constexpr size_t kPartBytes = 16;
    static constexpr size_t kParts = kWindowBytes / kPartBytes;
    // GCC's and Clang's vectors: signed bytes.
    typedef signed char Part __attribute__((vector_size(kPartBytes)));

    static Part all(int byte) { return Part{} + static_cast<signed char>(byte); }

    // Bytes are moved so that those wanted are the least signed numbers.
    static Part within(Part part, char first, int count) {
        typedef unsigned char Unsigned __attribute__((vector_size(kPartBytes)));
        const auto moved = Part(Unsigned(part) + static_cast<unsigned char>(-128 - first));
        return Part(moved < all(-128 + count));
    }

    // A bit of each byte: the highest.
    static uint64_t top_bits(Part part) {
#if defined(__SSE2__)
        return static_cast<uint32_t>(_mm_movemask_epi8(std::bit_cast<__m128i>(part)));
#else
        uint64_t mask = 0;
        for (size_t i = 0; i < kPartBytes; ++i) {
            mask |= uint64_t{part[i] < 0} << i;
        }
        return mask;
#endif
    }

    template <typename Question>
    uint64_t ask(Question&& question) const {
        uint64_t mask = 0;
        for (size_t i = 0; i < kParts; ++i) {
            mask |= top_bits(question(parts_[i])) << (kPartBytes * i);
        }
        return mask;
    }

    std::array<Part, kParts> parts_;
};

// Whether one of the next eight bytes is beyond ASCII.
inline bool has_high_byte_soon(std::string_view text, size_t at) {
    return (word_at(text.data() + at, std::min<size_t>(8, text.size() - at)) & 0x8080808080808080) != 0;
}

// The lowest bits.
inline uint64_t low_bits(size_t count) {
    return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

}  // namespace textmill::text
