// From a pair of tokens to the merge that joins them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tokenizer/token_buffer.h"

namespace textmill::tokenizer {

constexpr TokenId kNoToken = 0xFFFFFFFF;
constexpr size_t kMaxTokens = (size_t{1} << 21) - 1;
constexpr size_t kMaxMerges = size_t{1} << 22;
constexpr uint32_t kNoRank = (uint32_t{1} << 25) - 1;  // above all ranks, and six more bits fit into an int32_t

// Two tokens that become one. Its rank is its place in the list: the lowest rank is applied first.
struct Merge {
    TokenId left;
    TokenId right;
    TokenId product;
};

// From a pair of tokens to its merge: a table of all pairs of bytes, which half of all questions are about, and buckets
// of four slots for the others. A slot is one number, both ids and the rank. What a lookup finds cannot be foretold, so
// it has no jump that depends on it.
class MergeTable {
  public:
    // No token has this id, and no pair with it merges.
    static constexpr TokenId kNeverMerges = kMaxTokens;

    MergeTable(const std::array<TokenId, 256>& byte_tokens, size_t num_pairs);

    // Adds the merge of the next rank. False where the pair is there already.
    bool add(const Merge& merge);

    // kNoRank where the pair never merges.
    uint32_t rank_of(TokenId left, TokenId right) const {
        const uint64_t key = key_of(left, right);
        size_t place = place_of(key);
        while (true) {
            const Bucket& bucket = buckets_[place];
            uint64_t nearest = kEmptySlot;  // of the pair's own slot its rank is left
            for (const uint64_t slot : bucket.slots) {
                nearest = std::min(nearest, slot ^ key << kRankBits);
            }
            const bool is_absent = nearest >= kRankMask;
            if (!(is_absent & bucket.has_overflowed())) [[likely]] {
                return static_cast<uint32_t>(nearest | -uint64_t{is_absent}) & kNoRank;
            }
            place = (place + 1) & place_mask_;
        }
    }

    void prefetch(TokenId left, TokenId right) const { __builtin_prefetch(&buckets_[place_of(key_of(left, right))]); }

    uint32_t rank_of_bytes(uint8_t left, uint8_t right) const { return byte_ranks_[size_t{left} << 8 | right]; }

    // Most vocabularies number the products in the order of their ranks: then no list of them is read.
    TokenId product_of(uint32_t rank) const { return is_in_order_ ? first_product_ + rank : products_[rank]; }

    size_t size() const { return products_.size(); }

  private:
    static constexpr size_t kBucketSlots = 4;
    static constexpr unsigned kIdBits = 21;
    static constexpr unsigned kRankBits = 22;
    static constexpr uint32_t kRankMask = (uint32_t{1} << kRankBits) - 1;
    static constexpr uint64_t kEmptySlot = ~uint64_t{0};
    static_assert(kMaxTokens + 1 == size_t{1} << kIdBits && kMaxMerges == size_t{1} << kRankBits);
    static_assert(2 * kIdBits + kRankBits == 64);

    struct alignas(kBucketSlots * sizeof(uint64_t)) Bucket {  // never across two cache lines
        std::array<uint64_t, kBucketSlots> slots;

        // The first two slots are in order until a pair finds the bucket full and goes on to the next.
        bool has_overflowed() const { return slots[0] > slots[1]; }
    };

    static uint64_t key_of(TokenId left, TokenId right) { return uint64_t{left} << kIdBits | right; }
    size_t place_of(uint64_t key) const { return static_cast<size_t>((key * 0x9E3779B97F4A7C15) >> shift_); }

    std::array<TokenId, 256> byte_tokens_;
    TokenId max_byte_token_;
    std::vector<uint32_t> byte_ranks_;
    std::vector<Bucket> buckets_;
    std::vector<TokenId> products_;  // by rank
    TokenId first_product_ = 0;
    bool is_in_order_ = true;
    size_t place_mask_;
    unsigned shift_;
};

}  // namespace textmill::tokenizer
