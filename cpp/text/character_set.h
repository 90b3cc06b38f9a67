// Characters, and whether one is among them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "tokenizer/unicode.h"

namespace textmill::text {

class CharacterSet {
  public:
    CharacterSet() : bits_(tokenizer::kNumCodePoints / 64) {}
    // Throws std::out_of_range for what is no code point.
    explicit CharacterSet(std::span<const uint32_t> code_points) : CharacterSet() {
        for (const uint32_t code_point : code_points) {
            bits_.at(code_point / 64) |= uint64_t{1} << (code_point % 64);
        }
    }

    bool has(uint32_t code_point) const { return (bits_[code_point / 64] >> (code_point % 64) & 1) != 0; }

  private:
    std::vector<uint64_t> bits_;
};

}  // namespace textmill::text
