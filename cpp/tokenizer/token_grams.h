// Where no token of a vocabulary can lie across a place of a text. Nothing merges across such a place, so that what is
// on its two sides can be merged apart: a long run of Chinese falls into characters and words that are remembered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/merge_table.h"
#include "tokenizer/token_table.h"

namespace textmill::tokenizer {

// A token across a place holds one byte or more on each side. Held here: all tokens of two bytes, the first three and
// the last three bytes of longer ones, and every four bytes inside one. Bits by hash: a token that is not there may
// seem to be, never the other way round.
class TokenGrams {
  public:
    TokenGrams() = default;

    // Of the products of merges.
    TokenGrams(const TokenTable& tokens, const MergeTable& merges);

    // Whether a token may lie across the place before byte `at` of a piece; 0 < at < piece.size().
    bool may_cross(std::string_view piece, size_t at) const {
        const auto byte = [piece](size_t place) { return uint32_t{static_cast<uint8_t>(piece[place])}; };
        const uint32_t middle = byte(at - 1) << 8 | byte(at);
        const bool has_left = at >= 2;
        const bool has_right = at + 1 < piece.size();
        const uint32_t left = has_left ? byte(at - 2) : 0;
        const uint32_t right = has_right ? byte(at + 1) : 0;
        return has(kPair, middle) || (has_right && has(kFirst, middle << 8 | right)) ||
               (has_left && has(kLast, left << 16 | middle)) ||
               (has_left && has_right && has(kInside, left << 24 | middle << 8 | right));
    }

  private:
    enum Kind : uint64_t { kPair, kFirst, kLast, kInside };

    size_t bit_of(Kind kind, uint32_t bytes) const {
        return static_cast<size_t>(((uint64_t{bytes} << 2 | kind) * 0x9E3779B97F4A7C15) >> shift_);
    }
    bool has(Kind kind, uint32_t bytes) const {
        const size_t bit = bit_of(kind, bytes);
        return (bits_[bit / 64] >> (bit % 64) & 1) != 0;
    }
    void add(Kind kind, uint32_t bytes) {
        const size_t bit = bit_of(kind, bytes);
        bits_[bit / 64] |= uint64_t{1} << (bit % 64);
    }

    std::vector<uint64_t> bits_;
    unsigned shift_ = 0;
};

}  // namespace textmill::tokenizer
