// Merging a piece of a few bytes, one step at a time, so that several pieces can take turns: while the table's lines
// for one are on their way, the others go on.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tokenizer/merge_table.h"

namespace textmill::tokenizer {

// Places of parts are bits of `live_`. The bytes stand at the places from 1 on, between two parts that never merge, so
// that no end is a case of its own. Each place has the rank of its merge with the next part and itself in one number:
// the least of these is the lowest rank, and of equals the leftmost.
class ShortMerge {
  public:
    static constexpr size_t kMaxBytes = 32;

    // Of 1 to kMaxBytes bytes, which all have a token. Returns whether all are ASCII.
    bool start(const std::array<TokenId, 256>& byte_tokens, const MergeTable& merges, std::string_view piece) {
        num_bytes_ = piece.size();
        parts_[0] = parts_[num_bytes_ + 1] = MergeTable::kNeverMerges;
        keys_.fill(kNoKey);
        auto byte = static_cast<uint8_t>(piece[0]);
        parts_[1] = byte_tokens[byte];
        uint8_t all_bits = byte;
        for (size_t i = 1; i < num_bytes_; ++i) {
            const auto left = byte;
            byte = static_cast<uint8_t>(piece[i]);
            all_bits |= byte;
            parts_[i + 1] = byte_tokens[byte];
            keys_[i] = key_of(merges.rank_of_bytes(left, byte), i);
        }
        live_ = bit(num_bytes_ + 2) - 1;
        return all_bits < 0x80;
    }

    // Makes the next merge, all but the ranks of its two new pairs; false where nothing merges any more.
    bool join(const MergeTable& merges) {
        const int32_t least = num_bytes_ <= kFewBytes ? least_of<kFewBytes>() : least_of<kMaxBytes>();
        if (least >= kNoKey) {
            return false;
        }
        rank_ = static_cast<uint32_t>(least) >> kPlaceBits;
        place_ = static_cast<size_t>(least) & (kMaxPlaces - 1);
        uint64_t after = live_ & ~(bit(place_ + 1) - 1);
        right_ = static_cast<size_t>(std::countr_zero(after));
        after &= after - 1;
        next_ = static_cast<size_t>(std::countr_zero(after));
        previous_ = static_cast<size_t>(std::bit_width(live_ & (bit(place_) - 1)) - 1);
        live_ &= ~bit(right_);
        keys_[right_] = kNoKey;
        left_part_ = parts_[place_];
        parts_[place_] = merges.product_of(rank_);
        merges.prefetch(parts_[place_], parts_[next_]);
        merges.prefetch(parts_[previous_], parts_[place_]);
        return true;
    }

    // Ranks the pairs that the last merge made.
    void rank_new_pairs(const MergeTable& merges) {
        keys_[place_] = key_of(merges.rank_of(parts_[place_], parts_[next_]), place_);
        keys_[previous_] = key_of(merges.rank_of(parts_[previous_], parts_[place_]), previous_);
    }

    // Writes the parts that are left, and returns where they end.
    TokenId* finish(TokenId* ids) const {
        for (uint64_t live = live_ & ~(bit(0) | bit(num_bytes_ + 1)); live != 0; live &= live - 1) {
            *ids++ = parts_[static_cast<size_t>(std::countr_zero(live))];
        }
        return ids;
    }

    // The last merge: its first byte in the piece, the part on its left before it, and its rank.
    size_t at() const { return place_ - 1; }
    TokenId left_part() const { return left_part_; }
    TokenId right_part() const { return parts_[right_]; }
    uint32_t rank() const { return rank_; }

  private:
    static constexpr size_t kFewBytes = 16;
    static constexpr unsigned kPlaceBits = 6;
    static constexpr size_t kMaxPlaces = size_t{1} << kPlaceBits;
    static constexpr int32_t kNoKey = kNoRank << kPlaceBits;
    static_assert(kMaxMerges <= kNoRank && kMaxBytes + 2 <= kMaxPlaces);

    static uint64_t bit(size_t place) { return uint64_t{1} << place; }
    static int32_t key_of(uint32_t rank, size_t place) {
        return static_cast<int32_t>(rank << kPlaceBits | static_cast<uint32_t>(place));
    }

    template <size_t num_keys>
    int32_t least_of() const {
        int32_t least = kNoKey;
        for (size_t i = 0; i < num_keys; ++i) {
            least = std::min(least, keys_[i]);
        }
        return least;
    }

    alignas(64) std::array<int32_t, kMaxBytes + 1> keys_;  // the last part has one too, and never a rank
    std::array<TokenId, kMaxBytes + 2> parts_;
    uint64_t live_;
    size_t num_bytes_;
    size_t place_, right_, next_, previous_;
    uint32_t rank_;
    TokenId left_part_;
};

}  // namespace textmill::tokenizer
