#include "tokenizer/pair_search.h"

#include <algorithm>
#include <array>
#include <functional>

#include "tokenizer/parallel.h"

namespace textmill::tokenizer {
namespace {

// 2 MB, about what a core's second cache holds.
constexpr size_t kMaxBuckets = size_t{1} << 18;
constexpr size_t kMinBuckets = size_t{1} << 10;

// Pairs are looked up so many at a time, so that the look-ups wait for memory together.
constexpr size_t kMaxCandidates = 64;

// What is worth a thread.
constexpr size_t kMinShareSlots = size_t{1} << 16;

}  // namespace

PairSearch::PairSearch(const MergeCorpus& corpus, const FollowRule& rule, size_t room_bytes, unsigned num_threads)
    : corpus_(corpus),
      rule_(rule),
      shares_(
          corpus.shares(room_bytes == kUnlimited ? threads_for(num_threads, corpus.num_slots() / kMinShareSlots) : 1)),
      room_bytes_(room_bytes) {
    size_t num_buckets = kMaxBuckets;
    while (num_buckets > kMinBuckets && num_buckets * sizeof(uint64_t) > room_bytes / 8) {
        num_buckets /= 2;
    }
    buckets_.assign(num_buckets, 0);
    if (room_bytes_ != kUnlimited) {
        room_bytes_ -= std::min(room_bytes_, num_buckets * sizeof(uint64_t));
    }
    if (rule.seeds.empty()) {
        count_buckets();
    }
}

template <typename Run>
void PairSearch::for_each_share(const Run& run) const {
    run_tasks(shares_.size(), static_cast<unsigned>(shares_.size()), [&](size_t share, unsigned) { run(share); });
}

void PairSearch::count_buckets() {
    std::vector<std::vector<uint64_t>> buckets(shares_.size());
    for_each_share([&](size_t share) {
        std::vector<uint64_t>& sums = buckets[share];
        sums.assign(buckets_.size(), 0);
        corpus_.for_each_pair(shares_[share], [&](size_t, TokenId left, TokenId right, uint64_t count) {
            sums[pair_hash(pair_key(left, right)) & (sums.size() - 1)] += count;
        });
    });
    for (const std::vector<uint64_t>& sums : buckets) {
        std::transform(sums.begin(), sums.end(), buckets_.begin(), buckets_.begin(), std::plus<>());
    }
}

uint64_t PairSearch::most() const {
    return *std::max_element(buckets_.begin(), buckets_.end());
}

bool PairSearch::may_follow(uint64_t key) const {
    return rule_.seeds.empty() ? buckets_[pair_hash(key) & (buckets_.size() - 1)] >= rule_.threshold
                               : rule_.seeds.contains(key);
}

// Calls visit(candidate) in the order of places; each is about to be looked up in the map.
template <typename Value, typename Visit>
void PairSearch::for_each_candidate(const MergeCorpus::Share& share, const PairMap<Value>& map,
                                    const Visit& visit) const {
    std::array<Candidate, kMaxCandidates> candidates;
    size_t num_candidates = 0;
    const auto visit_all = [&] {
        for (size_t i = 0; i < num_candidates; ++i) {
            map.prefetch(candidates[i].key);
        }
        for (size_t i = 0; i < num_candidates; ++i) {
            visit(candidates[i]);
        }
        num_candidates = 0;
    };
    corpus_.for_each_pair(share, [&](size_t at, TokenId left, TokenId right, uint64_t count) {
        const uint64_t key = pair_key(left, right);
        candidates[num_candidates] = {key, count, at};  // stays only where it counts: no jump, which would be guessed
        num_candidates += may_follow(key) ? 1 : 0;
        if (num_candidates == kMaxCandidates) {
            visit_all();
        }
    });
    visit_all();
}

// Where the sums of all pairs do not fit, those of a range of keys are taken at a time.
uint64_t PairSearch::find(FollowedPairs& pairs, size_t enough) {
    pairs.clear();
    if (room_bytes_ != kUnlimited) {
        pairs.reserve(most_pairs(), most_places());
    }
    uint64_t first_key = 0;
    uint64_t width = FollowRule::kAllKeys;  // of a range, less one
    while (true) {
        const uint64_t last_key = first_key + std::min(width, FollowRule::kAllKeys - first_key);
        PairSums sums;
        if (!count_pairs(first_key, last_key, sums)) {
            if (width == 0) {
                break;
            }
        } else if (follow(sums, pairs)) {
            first_key = last_key;
            if (last_key == FollowRule::kAllKeys) {
                break;
            }
            ++first_key;
            width = width > FollowRule::kAllKeys / 2 ? FollowRule::kAllKeys : 2 * width + 1;
            continue;
        } else if (width == 0 || pairs.size() >= enough) {
            break;
        }
        width /= 2;
    }
    fill_places(pairs);
    return first_key;
}

// False where the sums take more than half of the room.
bool PairSearch::count_pairs(uint64_t first_key, uint64_t last_key, PairSums& sums) {
    if (shares_.size() != 1) {
        count_pairs_of_shares(sums);
        return true;
    }
    bool fits = true;
    corpus_.for_each_pair(shares_.front(), [&](size_t, TokenId left, TokenId right, uint64_t count) {
        const uint64_t key = pair_key(left, right);
        if (!fits || key < first_key || key > last_key || !may_follow(key)) {
            return;
        }
        needed_bytes_ = 2 * sums.memory_bytes_to_add();
        fits = needed_bytes_ <= room_bytes_;
        if (!fits) {
            return;
        }
        PairSum& sum = sums[key];
        sum.weight += count;
        ++sum.num_places;
    });
    return fits;
}

void PairSearch::count_pairs_of_shares(PairSums& sums) {
    sums_of_share_.assign(shares_.size(), {});
    for_each_share([&](size_t share) {
        PairSums& own = sums_of_share_[share];
        for_each_candidate(shares_[share], own, [&](const Candidate& candidate) {
            PairSum& sum = own[candidate.key];
            sum.weight += candidate.count;
            ++sum.num_places;
        });
    });
    for (const PairSums& own : sums_of_share_) {
        own.for_each([&](uint64_t key, const PairSum& part) {
            PairSum& sum = sums[key];
            sum.weight += part.weight;
            sum.num_places += part.num_places;
        });
    }
}

// False, and none is followed, where the pairs have no room.
bool PairSearch::follow(const PairSums& sums, FollowedPairs& pairs) {
    size_t num_pairs = pairs.size();
    size_t num_places = pairs.num_places();
    const auto for_each_followed = [&](const auto& visit) {
        sums.for_each([&](uint64_t key, const PairSum& sum) {
            const auto left = static_cast<TokenId>(key >> 32);
            const auto right = static_cast<TokenId>(key);
            if (rule_.follows(left, right, sum.weight)) {
                visit(left, right, sum);
            }
        });
    };
    for_each_followed([&](TokenId, TokenId, const PairSum& sum) {
        ++num_pairs;
        num_places += sum.num_places;
    });
    // Half of what pairs and places have is for pairs to come.
    if (room_bytes_ != kUnlimited && (num_pairs > most_pairs() / 2 || num_places > most_places() / 2)) {
        needed_bytes_ = std::max({needed_bytes_, 16 * FollowedPairs::bytes_for(num_pairs + 1, 0),
                                  16 * FollowedPairs::bytes_for(0, num_places + 1) / 3});
        return false;
    }
    for_each_followed(
        [&](TokenId left, TokenId right, const PairSum& sum) { pairs.add(left, right, sum.weight, sum.num_places); });
    return true;
}

void PairSearch::fill_places(FollowedPairs& pairs) const {
    if (shares_.size() != 1) {
        fill_places_of_shares(pairs);
        return;
    }
    corpus_.for_each_pair(shares_.front(), [&](size_t at, TokenId left, TokenId right, uint64_t) {
        const uint64_t key = pair_key(left, right);
        if (may_follow(key)) {
            pairs.add_place(pairs.find(key), at);
        }
    });
}

// The places of a pair in a share stand behind those in the shares before it.
void PairSearch::fill_places_of_shares(FollowedPairs& pairs) const {
    std::vector<std::vector<uint32_t>> next_place(shares_.size());
    std::vector<uint32_t> num_places(pairs.size());
    for (size_t share = 0; share < shares_.size(); ++share) {
        next_place[share] = num_places;
        sums_of_share_[share].for_each([&](uint64_t key, const PairSum& sum) {
            if (const uint32_t pair = pairs.find(key); pair != FollowedPairs::kNotFollowed) {
                num_places[pair] += static_cast<uint32_t>(sum.num_places);
            }
        });
    }
    for_each_share([&](size_t share) {
        for_each_candidate(shares_[share], pairs.index(), [&](const Candidate& candidate) {
            if (const uint32_t pair = pairs.find(candidate.key); pair != FollowedPairs::kNotFollowed) {
                pairs.set_place(pair, next_place[share][pair]++, candidate.at);
            }
        });
    });
    for (uint32_t pair = 0; pair < pairs.size(); ++pair) {
        pairs.take_places(pair, num_places[pair]);
    }
}

}  // namespace textmill::tokenizer
