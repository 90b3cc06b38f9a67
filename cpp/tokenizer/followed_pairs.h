// The pairs of tokens that stand often enough to be merged soon: how often, where, and which one is next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <queue>
#include <span>
#include <vector>

#include "tokenizer/pair_counts.h"
#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

// The places of a pair are those where it stood when the younger of its two tokens was made, or at the last search. No
// later merge adds one, since both tokens are made only then: some go stale, and the count only falls.
class FollowedPairs {
  public:
    static constexpr uint32_t kNotFollowed = 0xFFFFFFFF;

    struct Best {
        uint64_t count;
        uint64_t key;  // see pair_key
        uint32_t pair;
    };

    // What reserve() and add() take for a pair with this many places, at most.
    static size_t bytes_for(size_t num_pairs, size_t num_places) {
        return num_pairs * kBytesPerPair + num_places * sizeof(uint32_t);
    }

    void clear() { *this = FollowedPairs(); }

    // Takes memory for so many; after this, add() takes no more.
    void reserve(size_t num_pairs, size_t num_places);

    // Takes room for the places, which add_place() fills. kNotFollowed where reserve() left no room.
    uint32_t add(TokenId left, TokenId right, uint64_t count, size_t num_places);
    void add_place(uint32_t pair, size_t at) {
        if (pair != kNotFollowed) {
            Pair& followed = pairs_[pair];
            places_[followed.first_place + followed.num_places++] = static_cast<uint32_t>(at);
        }
    }

    // As add_place() for several threads, each with numbers of its own: the i-th place of those that add() took room
    // for.
    void set_place(uint32_t pair, size_t i, size_t at) {
        places_[pairs_[pair].first_place + i] = static_cast<uint32_t>(at);
    }
    // All places of a pair are set.
    void take_places(uint32_t pair, size_t num_places) { pairs_[pair].num_places = num_places; }

    size_t size() const { return pairs_.size(); }
    size_t num_places() const { return places_.size(); }

    // The number of a pair; kNotFollowed where it is not followed.
    uint32_t find(uint64_t key) const {
        const uint32_t* const pair = index_.find(key);
        return pair != nullptr ? *pair : kNotFollowed;
    }
    const PairMap<uint32_t>& index() const { return index_; }
    uint64_t count_of(uint32_t pair) const { return pairs_[pair].count; }
    size_t num_places(uint32_t pair) const { return pairs_[pair].num_places; }
    size_t place(uint32_t pair, size_t i) const { return places_[pairs_[pair].first_place + i]; }

    void lower_count(TokenId left, TokenId right, uint64_t weight) {
        if (const uint32_t pair = find(pair_key(left, right)); pair != kNotFollowed) {
            pairs_[pair].count -= weight;
        }
    }

    // The pair with the highest count, of equals the one with the smallest ids; nullptr where none reaches `from`.
    // Pairs that have fallen below `least` are forgotten.
    const Best* best(uint64_t from, uint64_t least);

    // Takes the best pair out; best() must have been called.
    void pop_best() { candidates_.pop(); }

  private:
    // A Pair, its slots in the index while that grows, and its candidate.
    static constexpr size_t kBytesPerPair = 128;

    struct Pair {
        uint64_t count;
        size_t first_place;
        size_t num_places;
    };
    struct IsWorse {
        bool operator()(const Best& a, const Best& b) const {
            return a.count != b.count ? a.count < b.count : a.key > b.key;
        }
    };

    bool is_limited_ = false;
    std::vector<Pair> pairs_;
    PairMap<uint32_t> index_;  // into pairs_
    std::vector<uint32_t> places_;
    std::priority_queue<Best, std::vector<Best>, IsWorse> candidates_;  // their counts are upper bounds
};

}  // namespace textmill::tokenizer
