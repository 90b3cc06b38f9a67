// From a pair of tokens to the merge that joins them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tokenizer/token_buffer.h"

namespace textmill::tokenizer {

constexpr TokenId kNoToken = 0xFFFFFFFF;
constexpr size_t kMaxTokens = size_t{1} << 21;
constexpr size_t kMaxMerges = size_t{1} << 22;
constexpr uint32_t kNoRank = 0xFFFFFFFF;

// Two tokens that become one. Its rank is its place in the list: the lowest rank is applied first.
struct Merge {
    TokenId left;
    TokenId right;
    TokenId product;
};

// From a pair of tokens to its merge. A table of all pairs of bytes, which half of all questions are about; for the
// others open addressing with linear probing, at most half full. A slot is one number: both ids and the rank.
class MergeTable {
  public:
    MergeTable(const std::array<TokenId, 256>& byte_tokens, size_t num_pairs);

    // Adds the merge of the next rank. False where the pair is there already.
    bool add(const Merge& merge);

    // kNoRank where the pair never merges.
    uint32_t rank_of(TokenId left, TokenId right) const {
        const uint64_t key = key_of(left, right);
        for (size_t slot = slot_of(key);; slot = (slot + 1) & mask_) {
            if (slots_[slot] >> kRankBits == key) {
                return static_cast<uint32_t>(slots_[slot]) & kRankMask;
            }
            if (slots_[slot] == kEmptySlot) {
                return kNoRank;
            }
        }
    }

    uint32_t rank_of_bytes(uint8_t left, uint8_t right) const { return byte_ranks_[size_t{left} << 8 | right]; }

    TokenId product_of(uint32_t rank) const { return products_[rank]; }

    size_t size() const { return products_.size(); }

  private:
    static constexpr unsigned kIdBits = 21;
    static constexpr unsigned kRankBits = 22;
    static constexpr uint32_t kRankMask = (uint32_t{1} << kRankBits) - 1;
    static constexpr uint64_t kEmptySlot = ~uint64_t{0};
    static_assert(kMaxTokens == size_t{1} << kIdBits && kMaxMerges == size_t{1} << kRankBits);
    static_assert(2 * kIdBits + kRankBits == 64);

    static uint64_t key_of(TokenId left, TokenId right) { return uint64_t{left} << kIdBits | right; }
    size_t slot_of(uint64_t key) const { return static_cast<size_t>((key * 0x9E3779B97F4A7C15) >> shift_); }

    std::array<TokenId, 256> byte_tokens_;
    TokenId max_byte_token_;
    std::vector<uint32_t> byte_ranks_;
    std::vector<uint64_t> slots_;
    std::vector<TokenId> products_;  // by rank
    size_t mask_;
    unsigned shift_;
};

}  // namespace textmill::tokenizer
