#include "tokenizer/merge_table.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <utility>

namespace textmill::tokenizer {

namespace {

TokenId highest_of(const std::array<TokenId, 256>& byte_tokens) {
    TokenId highest = 0;
    for (const TokenId id : byte_tokens) {
        highest = id == kNoToken ? highest : std::max(highest, id);
    }
    return highest;
}

}  // namespace

MergeTable::MergeTable(const std::array<TokenId, 256>& byte_tokens, size_t num_pairs)
    : byte_tokens_(byte_tokens),
      max_byte_token_(highest_of(byte_tokens)),
      byte_ranks_(size_t{256} * 256, kNoRank),
      buckets_(std::bit_ceil(num_pairs / 2 + 2), Bucket{{kEmptySlot, kEmptySlot, kEmptySlot, kEmptySlot}}),
      place_mask_(buckets_.size() - 1),
      shift_(64 - static_cast<unsigned>(std::bit_width(place_mask_))) {
    if (num_pairs >= kMaxMerges) {
        throw std::invalid_argument(std::to_string(num_pairs) + " merges; a vocabulary may have fewer than " +
                                    std::to_string(kMaxMerges));
    }
    products_.reserve(num_pairs);
}

bool MergeTable::add(const Merge& merge) {
    const uint64_t key = key_of(merge.left, merge.right);
    const auto rank = static_cast<uint32_t>(products_.size());
    if (rank_of(merge.left, merge.right) != kNoRank) {
        return false;
    }
    size_t place = place_of(key);
    Bucket* bucket = &buckets_[place];
    for (; bucket->slots.back() != kEmptySlot; bucket = &buckets_[place]) {
        if (!bucket->has_overflowed()) {
            std::swap(bucket->slots[0], bucket->slots[1]);
        }
        place = (place + 1) & place_mask_;
    }
    *std::find(bucket->slots.begin(), bucket->slots.end(), kEmptySlot) = key << kRankBits | rank;
    if (bucket->has_overflowed()) {
        std::swap(bucket->slots[0], bucket->slots[1]);  // only the second one of two came out of order
    }
    first_product_ = rank == 0 ? merge.product : first_product_;
    is_in_order_ &= merge.product == first_product_ + rank;
    products_.push_back(merge.product);
    if (merge.left > max_byte_token_ || merge.right > max_byte_token_) {
        return true;
    }
    const auto left = std::find(byte_tokens_.begin(), byte_tokens_.end(), merge.left);
    const auto right = std::find(byte_tokens_.begin(), byte_tokens_.end(), merge.right);
    if (left != byte_tokens_.end() && right != byte_tokens_.end()) {
        byte_ranks_[static_cast<size_t>((left - byte_tokens_.begin()) * 256 + (right - byte_tokens_.begin()))] = rank;
    }
    return true;
}

}  // namespace textmill::tokenizer
