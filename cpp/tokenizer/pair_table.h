// From a pair of tokens to a rank and a product of any kind: several pairs may have one rank.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tokenizer/merge_table.h"

namespace textmill::tokenizer {

struct RankedProduct {
    uint32_t rank;
    TokenId product;
};

// From a pair of tokens to its merge: open addressing, linear probing, at most half full.
class PairTable {
  public:
    explicit PairTable(size_t num_pairs)
        : slots_(std::bit_ceil(2 * num_pairs + 2)),
          mask_(slots_.size() - 1),
          shift_(64 - static_cast<unsigned>(std::bit_width(mask_))) {}

    // False where the pair is there already.
    bool insert(TokenId left, TokenId right, RankedProduct value) {
        const uint64_t key = key_of(left, right);
        size_t slot = slot_of(key);
        while (slots_[slot].key != kEmptyKey) {
            if (slots_[slot].key == key) {
                return false;
            }
            slot = (slot + 1) & mask_;
        }
        slots_[slot] = {key, value};
        return true;
    }

    // Rank kNoRank where the pair never merges.
    RankedProduct find(TokenId left, TokenId right) const {
        const uint64_t key = key_of(left, right);
        for (size_t slot = slot_of(key);; slot = (slot + 1) & mask_) {
            if (slots_[slot].key == key) {
                return slots_[slot].value;
            }
            if (slots_[slot].key == kEmptyKey) {
                return {kNoRank, kNoToken};
            }
        }
    }

  private:
    static constexpr uint64_t kEmptyKey = ~uint64_t{0};
    struct Slot {
        uint64_t key = kEmptyKey;
        RankedProduct value{};
    };

    static uint64_t key_of(TokenId left, TokenId right) { return uint64_t{left} << 32 | right; }
    size_t slot_of(uint64_t key) const { return static_cast<size_t>((key * 0x9E3779B97F4A7C15) >> shift_) & mask_; }

    std::vector<Slot> slots_;
    size_t mask_;
    unsigned shift_;
};

}  // namespace textmill::tokenizer
