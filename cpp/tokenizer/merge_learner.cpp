#include "tokenizer/merge_learner.h"

#include <algorithm>
#include <queue>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "tokenizer/pair_counts.h"
#include "tokenizer/word_counts.h"

namespace textmill::tokenizer {
namespace {

constexpr size_t kPollMerges = 64;
constexpr uint64_t kNoThreshold = ~uint64_t{0};
constexpr uint32_t kNotFollowed = 0xFFFFFFFF;

// 2 MB, about what a core's second cache holds.
constexpr size_t kMaxBuckets = size_t{1} << 18;
constexpr size_t kMinBuckets = size_t{1} << 10;

// A Pair, its slots in the index while that grows, and its candidate.
constexpr size_t kBytesPerPair = 128;

// The next threshold is the last one divided by this: each search goes through the whole corpus, and each pair that it
// finds takes time with every merge beside it.
constexpr uint64_t kThresholdStep = 8;

// A pair that stands often enough to be merged soon. Its places are those where it stood when the younger of its two
// tokens was made, or at the last search. No later merge adds one, since both tokens are made only then: some go stale,
// and the count only falls.
struct Pair {
    uint64_t count;
    size_t first_place;
    size_t num_places;
};

struct Candidate {
    uint64_t count;  // an upper bound
    uint64_t key;    // left and right, so that smaller ids are smaller keys
    uint32_t pair;

    bool operator<(const Candidate& other) const {
        return count != other.count ? count < other.count : key > other.key;
    }
};

// What a merge finds on one side of its product: for each neighbouring token how often, and at how many places.
class Neighbours {
  public:
    struct Sum {
        uint64_t weight = 0;
        uint32_t num_places = 0;
        uint32_t pair = kNotFollowed;
    };

    // Makes room for tokens with ids below `num_ids`.
    void resize(size_t num_ids) { sums_.resize(num_ids); }

    void add(TokenId neighbour, uint64_t weight) {
        Sum& sum = sums_[neighbour];
        if (sum.num_places++ == 0) {
            tokens_.push_back(neighbour);
        }
        sum.weight += weight;
    }

    const std::vector<TokenId>& tokens() const { return tokens_; }
    Sum& operator[](TokenId neighbour) { return sums_[neighbour]; }

    void clear() {
        for (const TokenId token : tokens_) {
            sums_[token] = {};
        }
        tokens_.clear();
    }

    size_t memory_bytes() const { return sums_.capacity() * sizeof(Sum) + tokens_.capacity() * sizeof(TokenId); }

  private:
    std::vector<Sum> sums_;
    std::vector<TokenId> tokens_;
};

struct PairSum {
    uint64_t weight = 0;
    uint64_t num_places = 0;
};
using PairSums = PairMap<PairSum>;

// Only pairs at or above a threshold are followed, exactly; when none of them is left above it, the threshold falls and
// the corpus is searched anew. Since a pair's count never rises after its tokens are made, one that is not followed
// stands below the threshold, and never before one that is. So the result does not depend on the thresholds, which are
// chosen for speed, and higher where memory is limited.
class MergeLearner {
  public:
    MergeLearner(MergeCorpus corpus, const LearnOptions& options, std::vector<uint64_t> num_dropped);

    LearnedMerges learn();

  private:
    void make_seeds();
    void learn_best();
    bool is_tied(const Candidate& best);

    void search();
    void count_buckets();
    bool count_pairs(PairSums& sums) const;
    bool follow(const PairSums& sums);
    void fill_places();
    void raise_threshold();

    uint64_t bucket_of(uint64_t key) const { return buckets_[pair_hash(key) & (buckets_.size() - 1)]; }

    bool is_followed(TokenId left, TokenId right, uint64_t weight) const;
    void merge_pair(TokenId left, TokenId right, const Pair& pair);
    TokenId product_of(TokenId left, TokenId right);
    void apply(const Pair& pair, TokenId left, TokenId right, TokenId product);
    void settle(const Pair& pair, TokenId left, TokenId right, TokenId product);
    uint32_t add_pair(TokenId left, TokenId right, uint64_t count, size_t num_places);
    void add_place(uint32_t pair, size_t at);
    void fill_new_places(const Pair& pair, TokenId product, uint32_t doubled_pair);
    void lower_count(TokenId left, TokenId right, uint64_t weight);

    size_t room_bytes() const;

    const LearnOptions& options_;
    MergeCorpus corpus_;
    std::vector<uint32_t> lengths_;  // of tokens, in bytes
    std::vector<std::string> token_bytes_;
    std::unordered_map<std::string, TokenId> existing_;  // tokens that a merge may make again, by their bytes
    std::unordered_set<uint64_t> seeds_;                 // the pairs to follow while seeds are made
    uint64_t threshold_ = kNoThreshold;
    uint64_t ceiling_ = kNoThreshold;  // every pair stands less often than this
    bool must_search_ = true;
    std::vector<uint64_t> buckets_;  // sums of the counts of pairs that share some bits of their hash: upper bounds
    std::vector<Pair> pairs_;
    PairMap<uint32_t> index_;  // into pairs_
    std::vector<uint32_t> places_;
    std::priority_queue<Candidate> candidates_;
    Neighbours on_left_;
    Neighbours on_right_;
    uint64_t doubled_weight_ = 0;  // of two products side by side
    uint32_t doubled_places_ = 0;
    size_t num_new_tokens_ = 0;
    LearnedMerges learned_;
};

MergeLearner::MergeLearner(MergeCorpus corpus, const LearnOptions& options, std::vector<uint64_t> num_dropped)
    : options_(options), corpus_(std::move(corpus)) {
    bool has_merges = !options.seeds.empty();
    for (const std::string& token : options.tokens) {
        lengths_.push_back(static_cast<uint32_t>(token.size()));
        has_merges |= token.size() > 1;
    }
    // A vocabulary of bytes alone cannot hold what a merge is about to make.
    if (has_merges) {
        token_bytes_ = options.tokens;
        for (TokenId id = 0; id < token_bytes_.size(); ++id) {
            existing_.emplace(token_bytes_[id], id);
        }
    }
    learned_.token_counts = std::move(num_dropped);
    learned_.token_counts.resize(lengths_.size());
    on_left_.resize(lengths_.size());
    on_right_.resize(lengths_.size());
}

LearnedMerges MergeLearner::learn() {
    make_seeds();
    learn_best();
    corpus_.for_each_token([&](TokenId token, uint64_t count) { learned_.token_counts[token] += count; });
    return std::move(learned_);
}

void MergeLearner::make_seeds() {
    for (const Merge& seed : options_.seeds) {
        seeds_.insert(pair_key(seed.left, seed.right));
    }
    for (const Merge& seed : options_.seeds) {
        if (must_search_) {
            search();
        }
        const uint32_t* index = index_.find(pair_key(seed.left, seed.right));
        merge_pair(seed.left, seed.right, index != nullptr ? pairs_[*index] : Pair{});
    }
    seeds_.clear();
    must_search_ = true;
}

void MergeLearner::learn_best() {
    const uint64_t least = std::max<uint64_t>(1, options_.min_frequency);
    while (num_new_tokens_ < options_.num_tokens) {
        if (must_search_) {
            search();
        }
        if (candidates_.empty() || candidates_.top().count < threshold_) {
            if (threshold_ <= least) {
                return;
            }
            ceiling_ = threshold_;
            threshold_ = std::max(least, threshold_ / kThresholdStep);
            must_search_ = true;
            continue;
        }
        const Candidate best = candidates_.top();
        candidates_.pop();
        const Pair pair = pairs_[best.pair];
        if (pair.count != best.count) {
            candidates_.push({pair.count, best.key, best.pair});
            continue;
        }
        learned_.num_ties += is_tied(best) ? 1 : 0;
        ceiling_ = best.count + 1;
        merge_pair(static_cast<TokenId>(best.key >> 32), static_cast<TokenId>(best.key), pair);
    }
}

bool MergeLearner::is_tied(const Candidate& best) {
    while (!candidates_.empty() && candidates_.top().count == best.count) {
        const Candidate next = candidates_.top();
        const uint64_t count = pairs_[next.pair].count;
        if (count == next.count) {
            return true;
        }
        candidates_.pop();
        candidates_.push({count, next.key, next.pair});
    }
    return false;
}

// Finds all pairs at or above the threshold, and their places.
void MergeLearner::search() {
    must_search_ = false;
    candidates_ = {};
    pairs_ = {};
    index_ = {};
    places_ = {};
    corpus_.compact([&](TokenId token, uint64_t count) { learned_.token_counts[token] += count; });
    options_.poll();
    count_buckets();
    if (seeds_.empty() && threshold_ == kNoThreshold) {
        ceiling_ = *std::max_element(buckets_.begin(), buckets_.end()) + 1;
        threshold_ = std::max({uint64_t{1}, options_.min_frequency, ceiling_ / kThresholdStep});
    }
    PairSums sums;
    while (!count_pairs(sums) || !follow(sums)) {
        options_.poll();
        raise_threshold();
    }
    sums = {};
    fill_places();
    options_.poll();
    buckets_ = {};
}

void MergeLearner::count_buckets() {
    size_t num_buckets = kMaxBuckets;
    while (num_buckets > kMinBuckets && num_buckets * sizeof(uint64_t) > room_bytes() / 8) {
        num_buckets /= 2;
    }
    buckets_.assign(num_buckets, 0);
    if (!seeds_.empty()) {
        return;
    }
    corpus_.for_each_pair([&](size_t, TokenId left, TokenId right, uint64_t count) {
        buckets_[pair_hash(pair_key(left, right)) & (num_buckets - 1)] += count;
    });
}

// False where the sums take more than their share of the memory.
bool MergeLearner::count_pairs(PairSums& sums) const {
    sums = {};
    const size_t share_bytes = room_bytes() / 2;
    bool fits = true;
    corpus_.for_each_pair([&](size_t, TokenId left, TokenId right, uint64_t count) {
        const uint64_t key = pair_key(left, right);
        if (!fits || (seeds_.empty() ? bucket_of(key) < threshold_ : !seeds_.contains(key))) {
            return;
        }
        fits = sums.memory_bytes_to_add() <= share_bytes;
        PairSum& sum = sums[key];
        sum.weight += count;
        ++sum.num_places;
    });
    return fits;
}

// Makes pairs of the sums that reach the threshold; false where they and their places take too much memory.
bool MergeLearner::follow(const PairSums& sums) {
    size_t num_pairs = 0;
    size_t num_places = 0;
    const auto for_each_followed = [&](const auto& visit) {
        sums.for_each([&](uint64_t key, const PairSum& sum) {
            if (is_followed(static_cast<TokenId>(key >> 32), static_cast<TokenId>(key), sum.weight)) {
                visit(key, sum);
            }
        });
    };
    for_each_followed([&](uint64_t, const PairSum& sum) {
        ++num_pairs;
        num_places += sum.num_places;
    });
    if (options_.memory_limit_bytes > 0) {
        // The other half is for the sums, which are still there. Of what is taken, half is for pairs to come.
        const size_t room = room_bytes() / 2;
        const size_t most_pairs = room / 4 / kBytesPerPair;
        const size_t most_places = room / 4 * 3 / sizeof(uint32_t);
        if (num_pairs > most_pairs / 2 || num_places > most_places / 2) {
            return false;
        }
        pairs_.reserve(most_pairs);
        places_.reserve(most_places);
    }
    for_each_followed([&](uint64_t key, const PairSum& sum) {
        add_pair(static_cast<TokenId>(key >> 32), static_cast<TokenId>(key), sum.weight, sum.num_places);
    });
    return true;
}

void MergeLearner::raise_threshold() {
    if (seeds_.empty() && threshold_ + 1 < ceiling_) {
        threshold_ += (ceiling_ - threshold_) / 2;
        return;
    }
    const size_t held_bytes = options_.memory_limit_bytes - room_bytes();
    throw MemoryLimitError("learning the merges of " + std::to_string(corpus_.num_slots()) +
                               " bytes and marks of different pieces, one pair at a time,",
                           3 * held_bytes + (size_t{1} << 20), options_.memory_limit_bytes);
}

void MergeLearner::fill_places() {
    corpus_.for_each_pair([&](size_t at, TokenId left, TokenId right, uint64_t) {
        const uint64_t key = pair_key(left, right);
        if (!seeds_.empty() || bucket_of(key) >= threshold_) {
            if (const uint32_t* pair = index_.find(key)) {
                add_place(*pair, at);
            }
        }
    });
}

bool MergeLearner::is_followed(TokenId left, TokenId right, uint64_t weight) const {
    if (!seeds_.empty()) {
        return seeds_.contains(pair_key(left, right));
    }
    if (weight < threshold_) {
        return false;
    }
    const size_t length = size_t{lengths_[left]} + lengths_[right];
    return options_.max_token_length == 0 || length < options_.max_token_length || length == 2;
}

void MergeLearner::merge_pair(TokenId left, TokenId right, const Pair& pair) {
    const TokenId product = product_of(left, right);
    corpus_.add_token(left, right, product);
    learned_.merges.push_back({left, right, product});
    learned_.counts.push_back(pair.count);
    apply(pair, left, right, product);
    settle(pair, left, right, product);
    if (learned_.merges.size() % kPollMerges == 0) {
        options_.poll();
    }
}

TokenId MergeLearner::product_of(TokenId left, TokenId right) {
    const auto product = static_cast<TokenId>(lengths_.size());
    if (!existing_.empty()) {
        // A token that is there stands nowhere in the corpus: its bytes alone would become it, not this pair.
        const auto [known, is_new] = existing_.emplace(token_bytes_[left] + token_bytes_[right], product);
        if (!is_new) {
            return known->second;
        }
        token_bytes_.push_back(known->first);
    }
    lengths_.push_back(lengths_[left] + lengths_[right]);
    learned_.token_counts.push_back(0);
    on_left_.resize(lengths_.size());
    on_right_.resize(lengths_.size());
    ++num_new_tokens_;
    return product;
}

// Merges every place of a pair from left to right, and sums up what stands beside the products.
void MergeLearner::apply(const Pair& pair, TokenId left, TokenId right, TokenId product) {
    for (size_t i = 0; i < pair.num_places; ++i) {
        const size_t at = places_[pair.first_place + i];
        if (!corpus_.holds_pair(at, left, right)) {
            continue;
        }
        const uint64_t weight = corpus_.count_at(at);
        corpus_.merge(at, left, product);
        const uint32_t before = corpus_[at - 1];
        if (before == product) {
            doubled_weight_ += weight;
            ++doubled_places_;
        } else if (MergeCorpus::is_token(before)) {
            on_left_.add(before, weight);
        }
        const uint32_t after = corpus_[corpus_.next_of(at)];
        if (MergeCorpus::is_token(after)) {
            on_right_.add(after, weight);
        }
    }
}

// Lowers the counts of the pairs that the products took the place of, and follows the new ones that stand often enough.
void MergeLearner::settle(const Pair& pair, TokenId left, TokenId right, TokenId product) {
    bool is_any_followed = false;
    const auto follow_if = [&](TokenId first, TokenId second, uint64_t weight, uint32_t num_places) {
        if (must_search_ || !is_followed(first, second, weight)) {
            return kNotFollowed;
        }
        is_any_followed = true;
        return add_pair(first, second, weight, num_places);
    };
    for (const TokenId before : on_left_.tokens()) {
        Neighbours::Sum& sum = on_left_[before];
        lower_count(before, left, sum.weight);
        sum.pair = follow_if(before, product, sum.weight, sum.num_places);
    }
    for (const TokenId after : on_right_.tokens()) {
        Neighbours::Sum& sum = on_right_[after];
        lower_count(right, after, sum.weight);
        // In a run ("abab"), the left token after one product has itself become part of the next product since.
        const uint64_t merged_since = after == left ? doubled_weight_ : 0;
        sum.pair = follow_if(product, after, sum.weight - merged_since, sum.num_places);
    }
    const uint32_t doubled_pair =
        doubled_weight_ > 0 ? follow_if(product, product, doubled_weight_, doubled_places_) : kNotFollowed;
    if (is_any_followed && !must_search_) {
        fill_new_places(pair, product, doubled_pair);
    }
    doubled_weight_ = 0;
    doubled_places_ = 0;
    on_left_.clear();
    on_right_.clear();
}

void MergeLearner::fill_new_places(const Pair& pair, TokenId product, uint32_t doubled_pair) {
    const size_t width = corpus_.width_of(product);
    size_t last_end = 0;
    for (size_t i = 0; i < pair.num_places; ++i) {
        const size_t at = places_[pair.first_place + i];
        if (at < last_end || corpus_[at] != product) {
            continue;
        }
        last_end = at + width;
        const uint32_t before = corpus_[at - 1];
        if (before == product) {
            add_place(doubled_pair, at - width);
        } else if (MergeCorpus::is_token(before)) {
            add_place(on_left_[before].pair, at - corpus_.width_of(before));
        }
        const uint32_t after = corpus_[last_end];
        if (MergeCorpus::is_token(after) && after != product) {
            add_place(on_right_[after].pair, at);
        }
    }
}

// Takes room for the places, which add_place() fills.
uint32_t MergeLearner::add_pair(TokenId left, TokenId right, uint64_t count, size_t num_places) {
    const bool has_room = pairs_.size() < pairs_.capacity() && places_.size() + num_places <= places_.capacity();
    if (options_.memory_limit_bytes > 0 && !has_room) {
        must_search_ = true;
        return kNotFollowed;
    }
    const auto pair = static_cast<uint32_t>(pairs_.size());
    pairs_.push_back({count, places_.size(), 0});
    places_.resize(places_.size() + num_places);
    index_[pair_key(left, right)] = pair;
    candidates_.push({count, pair_key(left, right), pair});
    return pair;
}

void MergeLearner::add_place(uint32_t pair, size_t at) {
    if (pair != kNotFollowed) {
        Pair& followed = pairs_[pair];
        places_[followed.first_place + followed.num_places++] = static_cast<uint32_t>(at);
    }
}

void MergeLearner::lower_count(TokenId left, TokenId right, uint64_t weight) {
    if (const uint32_t* pair = index_.find(pair_key(left, right))) {
        pairs_[*pair].count -= weight;
    }
}

// The memory that is left beside what stays from search to search.
size_t MergeLearner::room_bytes() const {
    if (options_.memory_limit_bytes == 0) {
        return ~size_t{0};
    }
    const size_t per_token = sizeof(uint32_t) + sizeof(Merge) + 2 * sizeof(uint64_t);
    const size_t held = corpus_.memory_bytes() + on_left_.memory_bytes() + on_right_.memory_bytes() +
                        buckets_.capacity() * sizeof(uint64_t) + lengths_.size() * per_token;
    return options_.memory_limit_bytes - std::min(options_.memory_limit_bytes, held);
}

}  // namespace

LearnedMerges learn_merges(MergeCorpus corpus, const LearnOptions& options, std::vector<uint64_t> num_dropped) {
    return MergeLearner(std::move(corpus), options, std::move(num_dropped)).learn();
}

}  // namespace textmill::tokenizer
