// Going through the whole corpus for the pairs to follow, in what memory there is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_set>
#include <vector>

#include "tokenizer/followed_pairs.h"
#include "tokenizer/learned_tokens.h"
#include "tokenizer/merge_corpus.h"
#include "tokenizer/pair_counts.h"

namespace textmill::tokenizer {

// Which pairs are followed: those that stand at least `threshold` times and have keys below `key_end`; where there are
// seeds, these alone.
struct FollowRule {
    static constexpr uint64_t kNoThreshold = ~uint64_t{0};
    static constexpr uint64_t kAllKeys = ~uint64_t{0};

    const LearnedTokens& tokens;
    std::unordered_set<uint64_t> seeds{};
    uint64_t threshold = kNoThreshold;
    uint64_t key_end = kAllKeys;

    bool follows(TokenId left, TokenId right, uint64_t weight) const {
        const uint64_t key = pair_key(left, right);
        if (!seeds.empty()) {
            return seeds.contains(key);
        }
        return weight >= threshold && key < key_end && tokens.may_merge(left, right);
    }
};

// One search: the corpus and the rule's seeds must stay as they are.
class PairSearch {
  public:
    // `room_bytes`: what the search and the pairs that it finds may take together; kUnlimited is no limit, and then
    // `num_threads` share the corpus. Every token of it has one slot.
    static constexpr size_t kUnlimited = ~size_t{0};
    PairSearch(const MergeCorpus& corpus, const FollowRule& rule, size_t room_bytes, unsigned num_threads);

    // No pair stands more often than this.
    uint64_t most() const;

    // Follows the pairs that the rule asks for in the order of their keys; returns the key up to which all are
    // followed, kAllKeys where all fit. Where they do not, it stops at once if it has `enough`, and else as late as it
    // can.
    uint64_t find(FollowedPairs& pairs, size_t enough);

    // The room that find() had needed to go on.
    size_t needed_bytes() const { return needed_bytes_; }

  private:
    struct PairSum {
        uint64_t weight = 0;
        uint64_t num_places = 0;
    };
    using PairSums = PairMap<PairSum>;

    // Of the room, half is for sums, an eighth for pairs and three for places.
    size_t most_pairs() const { return room_bytes_ / 8 / FollowedPairs::bytes_for(1, 0); }
    size_t most_places() const { return room_bytes_ / 8 * 3 / FollowedPairs::bytes_for(0, 1); }

    template <typename Run>
    void for_each_share(const Run& run) const;
    void count_buckets();
    bool may_follow(uint64_t key) const;
    template <typename Value, typename Visit>
    void for_each_candidate(const MergeCorpus::Share& share, const PairMap<Value>& map, const Visit& visit) const;
    bool count_pairs(uint64_t first_key, uint64_t last_key, PairSums& sums);
    void count_pairs_of_shares(PairSums& sums);
    bool follow(const PairSums& sums, FollowedPairs& pairs);
    void fill_places(FollowedPairs& pairs) const;
    void fill_places_of_shares(FollowedPairs& pairs) const;

    // A pair at a place that may have to be followed.
    struct Candidate {
        uint64_t key;
        uint64_t count;  // of the word
        size_t at;
    };

    const MergeCorpus& corpus_;
    const FollowRule& rule_;
    std::vector<MergeCorpus::Share> shares_;
    std::vector<PairSums> sums_of_share_;  // where there are several
    size_t room_bytes_;
    size_t needed_bytes_ = 0;
    std::vector<uint64_t> buckets_;  // sums of the counts of pairs that share some bits of their hash: upper bounds
};

}  // namespace textmill::tokenizer
