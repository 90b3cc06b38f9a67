#include "tokenizer/followed_pairs.h"

namespace textmill::tokenizer {

void FollowedPairs::reserve(size_t num_pairs, size_t num_places) {
    is_limited_ = true;
    pairs_.reserve(num_pairs);
    places_.reserve(num_places);
}

uint32_t FollowedPairs::add(TokenId left, TokenId right, uint64_t count, size_t num_places) {
    const bool has_room = pairs_.size() < pairs_.capacity() && places_.size() + num_places <= places_.capacity();
    if (is_limited_ && !has_room) {
        return kNotFollowed;
    }
    const auto pair = static_cast<uint32_t>(pairs_.size());
    const uint64_t key = pair_key(left, right);
    pairs_.push_back({count, places_.size(), 0});
    places_.resize(places_.size() + num_places);
    index_[key] = pair;
    candidates_.push({count, key, pair});
    return pair;
}

const FollowedPairs::Best* FollowedPairs::best(uint64_t from, uint64_t least) {
    while (!candidates_.empty() && candidates_.top().count >= from) {
        const Best top = candidates_.top();
        const uint64_t count = pairs_[top.pair].count;
        if (count == top.count) {
            return &candidates_.top();
        }
        candidates_.pop();
        if (count >= least) {
            candidates_.push({count, top.key, top.pair});
        }
    }
    return nullptr;
}

}  // namespace textmill::tokenizer
