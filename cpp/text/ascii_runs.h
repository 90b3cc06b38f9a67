// Runs of ASCII letters and digits, found 64 bytes at a time.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace textmill::text {

class AsciiRuns {
  public:
    explicit AsciiRuns(std::string_view text) : text_(text) {}

    // The first byte from `at` on that is no letter or digit of ASCII, or the end. Cheap where `at` mostly grows.
    size_t end_of_run(size_t at) {
        for (;; at = (at / kBlock + 1) * kBlock) {
            if (at >= text_.size()) {
                return text_.size();
            }
            if (at / kBlock != block_) {
                read_block(at / kBlock);
            }
            const uint64_t others = ~runs_ >> (at % kBlock);
            if (others != 0) {
                return at + static_cast<size_t>(std::countr_zero(others));  // bytes behind the text are no letters
            }
        }
    }

  private:
    static constexpr size_t kBlock = 64;

    void read_block(size_t block) {
        block_ = block;
        std::array<char, kBlock> padded;
        const char* bytes = text_.data() + block * kBlock;
        if (text_.size() - block * kBlock < kBlock) {
            padded.fill(' ');
            std::memcpy(padded.data(), bytes, text_.size() - block * kBlock);
            bytes = padded.data();
        }
        std::array<uint8_t, kBlock> is_in;
        for (size_t i = 0; i < kBlock; ++i) {  // the compiler makes vectors of it
            const auto byte = static_cast<uint8_t>(bytes[i]);
            const auto letter = static_cast<uint8_t>((byte | 0x20) - 'a');
            const auto digit = static_cast<uint8_t>(byte - '0');
            is_in[i] = static_cast<uint8_t>((letter < 26) | (digit < 10));
        }
        runs_ = 0;
        for (size_t i = 0; i < kBlock / 8; ++i) {
            uint64_t eight = 0;
            std::memcpy(&eight, is_in.data() + 8 * i, 8);
            runs_ |= (eight * 0x0102040810204080 >> 56) << (8 * i);  // a bit of each byte, the first one lowest
        }
    }

    std::string_view text_;
    size_t block_ = SIZE_MAX;
    uint64_t runs_ = 0;
};

}  // namespace textmill::text
