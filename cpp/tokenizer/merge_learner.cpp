#include "tokenizer/merge_learner.h"

#include <algorithm>
#include <utility>

#include "tokenizer/followed_pairs.h"
#include "tokenizer/learned_tokens.h"
#include "tokenizer/neighbours.h"
#include "tokenizer/pair_search.h"
#include "tokenizer/word_counts.h"

namespace textmill::tokenizer {
namespace {

constexpr size_t kPollMerges = 64;
constexpr uint32_t kNotFollowed = FollowedPairs::kNotFollowed;

// The next threshold is the last one divided by this: each search goes through the whole corpus, and each pair that it
// finds takes time with every merge beside it.
constexpr uint64_t kThresholdStep = 16;

// Places stand far apart, and are fetched so many before their turn.
constexpr size_t kPlacesAhead = 16;

// Of pairs that stand equally often, so many are worth a search.
constexpr size_t kEnoughTied = 256;

// Only pairs that a rule asks for are followed, exactly: those at or above a threshold. When none of them is left, the
// threshold falls and the corpus is searched anew. Since a pair's count never rises after its tokens are made, one that
// is not followed stands below the threshold, and never before one that is. So the result does not depend on the
// thresholds, which are chosen for speed, and higher where memory is limited. Where not even the pairs that stand
// equally often fit, those with the smallest keys are followed alone, since they come first.
class MergeLearner {
  public:
    MergeLearner(MergeCorpus corpus, const LearnOptions& options, std::vector<uint64_t> num_dropped);

    LearnedMerges learn();

  private:
    void make_seeds();
    void learn_best();
    bool lower_threshold();

    void search();
    bool raise_threshold();
    bool is_narrowed() const { return rule_.key_end != FollowRule::kAllKeys; }

    void merge_pair(TokenId left, TokenId right, uint32_t pair, uint64_t count);
    TokenId product_of(TokenId left, TokenId right);
    void apply(uint32_t pair, TokenId left, TokenId right, TokenId product);
    void settle(uint32_t pair, TokenId left, TokenId right, TokenId product);
    uint32_t follow_if(TokenId left, TokenId right, uint64_t weight, uint32_t num_places);
    void fill_new_places(uint32_t pair, TokenId product, uint32_t doubled_pair);

    size_t held_bytes() const;
    size_t room_bytes() const;
    size_t num_places(uint32_t pair) const { return pair == kNotFollowed ? 0 : pairs_.num_places(pair); }

    const LearnOptions& options_;
    MergeCorpus corpus_;
    LearnedTokens tokens_;
    FollowRule rule_;
    uint64_t ceiling_ = FollowRule::kNoThreshold;  // every pair stands less often than this
    bool must_search_ = true;
    FollowedPairs pairs_;
    Neighbours on_left_;
    Neighbours on_right_;
    uint64_t doubled_weight_ = 0;  // of two products side by side
    uint32_t doubled_places_ = 0;
    size_t num_new_tokens_ = 0;
    LearnedMerges learned_;
};

MergeLearner::MergeLearner(MergeCorpus corpus, const LearnOptions& options, std::vector<uint64_t> num_dropped)
    : options_(options),
      corpus_(std::move(corpus)),
      tokens_(options.tokens, options.never, options.max_token_length),
      rule_{tokens_} {
    learned_.token_counts = std::move(num_dropped);
    learned_.token_counts.resize(tokens_.size());
    on_left_.resize(tokens_.size());
    on_right_.resize(tokens_.size());
}

LearnedMerges MergeLearner::learn() {
    make_seeds();
    learn_best();
    corpus_.for_each_token([&](TokenId token, uint64_t count) { learned_.token_counts[token] += count; });
    return std::move(learned_);
}

void MergeLearner::make_seeds() {
    for (const Merge& seed : options_.seeds) {
        rule_.seeds.insert(pair_key(seed.left, seed.right));
    }
    for (const Merge& seed : options_.seeds) {
        if (must_search_) {
            search();
        }
        const uint32_t pair = pairs_.find(pair_key(seed.left, seed.right));
        merge_pair(seed.left, seed.right, pair, pair == kNotFollowed ? 0 : pairs_.count_of(pair));
    }
    rule_.seeds.clear();
    must_search_ = true;
}

void MergeLearner::learn_best() {
    while (num_new_tokens_ < options_.num_tokens) {
        if (must_search_) {
            search();
        }
        const FollowedPairs::Best* const first = pairs_.best(rule_.threshold, rule_.threshold);
        if (first == nullptr) {
            if (!is_narrowed() && !lower_threshold()) {
                return;
            }
            must_search_ = true;
            continue;
        }
        const FollowedPairs::Best best = *first;
        pairs_.pop_best();
        const bool is_tied = pairs_.best(best.count, rule_.threshold) != nullptr;
        if (is_narrowed() && !is_tied) {
            must_search_ = true;  // whether another pair stands as often, only the next search can tell
            continue;
        }
        learned_.num_ties += is_tied ? 1 : 0;
        ceiling_ = best.count + 1;
        merge_pair(static_cast<TokenId>(best.key >> 32), static_cast<TokenId>(best.key), best.pair, best.count);
    }
}

// False where no lower one is allowed.
bool MergeLearner::lower_threshold() {
    const uint64_t least = std::max<uint64_t>(1, options_.min_frequency);
    if (rule_.threshold <= least) {
        return false;
    }
    ceiling_ = rule_.threshold;
    rule_.threshold = std::max(least, rule_.threshold / kThresholdStep);
    return true;
}

// Finds the pairs to follow, and their places.
void MergeLearner::search() {
    must_search_ = false;
    pairs_.clear();
    corpus_.compact([&](TokenId token, uint64_t count) { learned_.token_counts[token] += count; });
    options_.poll();
    PairSearch search(corpus_, rule_, room_bytes(), options_.num_threads);
    rule_.key_end = FollowRule::kAllKeys;
    if (rule_.seeds.empty() && rule_.threshold == FollowRule::kNoThreshold) {
        ceiling_ = search.most() + 1;
        rule_.threshold = std::max({uint64_t{1}, options_.min_frequency, ceiling_ / kThresholdStep});
    }
    // Pairs below the threshold that do not fit wait for a lower one; those that stand equally often come by their
    // keys.
    uint64_t key_end = search.find(pairs_, 0);
    while (key_end != FollowRule::kAllKeys && raise_threshold()) {
        options_.poll();
        key_end = search.find(pairs_, 0);
    }
    if (key_end != FollowRule::kAllKeys) {
        key_end = search.find(pairs_, kEnoughTied);
    }
    if (key_end != FollowRule::kAllKeys && (!rule_.seeds.empty() || pairs_.size() < 2)) {
        throw MemoryLimitError(
            "learning the merges of " + std::to_string(corpus_.num_slots()) + " tokens and marks of different pieces",
            held_bytes() + search.needed_bytes() + search.needed_bytes() / 8, options_.memory_limit_bytes);
    }
    rule_.key_end = key_end;
    options_.poll();
}

// False where it is at its highest: all pairs at or above it stand equally often.
bool MergeLearner::raise_threshold() {
    if (!rule_.seeds.empty() || rule_.threshold + 1 >= ceiling_) {
        return false;
    }
    rule_.threshold += (ceiling_ - rule_.threshold) / 2;
    return true;
}

void MergeLearner::merge_pair(TokenId left, TokenId right, uint32_t pair, uint64_t count) {
    const TokenId product = product_of(left, right);
    corpus_.add_token(left, right, product);
    learned_.merges.push_back({left, right, product});
    learned_.counts.push_back(count);
    apply(pair, left, right, product);
    settle(pair, left, right, product);
    if (learned_.merges.size() % kPollMerges == 0) {
        options_.poll();
    }
}

TokenId MergeLearner::product_of(TokenId left, TokenId right) {
    const size_t num_tokens = tokens_.size();
    const TokenId product = tokens_.merge(left, right);
    if (tokens_.size() > num_tokens) {
        learned_.token_counts.push_back(0);
        on_left_.resize(tokens_.size());
        on_right_.resize(tokens_.size());
        ++num_new_tokens_;
    }
    return product;
}

// Merges every place of a pair from left to right, and sums up what stands beside the products.
void MergeLearner::apply(uint32_t pair, TokenId left, TokenId right, TokenId product) {
    for (size_t i = 0; i < num_places(pair); ++i) {
        if (i + kPlacesAhead < num_places(pair)) {
            corpus_.prefetch(pairs_.place(pair, i + kPlacesAhead));
        }
        const size_t at = pairs_.place(pair, i);
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
void MergeLearner::settle(uint32_t pair, TokenId left, TokenId right, TokenId product) {
    const size_t num_followed = pairs_.size();
    for (const TokenId before : on_left_.tokens()) {
        Neighbours::Sum& sum = on_left_[before];
        pairs_.lower_count(before, left, sum.weight);
        sum.pair = follow_if(before, product, sum.weight, sum.num_places);
    }
    for (const TokenId after : on_right_.tokens()) {
        Neighbours::Sum& sum = on_right_[after];
        pairs_.lower_count(right, after, sum.weight);
        // In a run ("abab"), the left token after one product has itself become part of the next product since.
        const uint64_t merged_since = after == left ? doubled_weight_ : 0;
        sum.pair = follow_if(product, after, sum.weight - merged_since, sum.num_places);
    }
    const uint32_t doubled_pair =
        doubled_weight_ > 0 ? follow_if(product, product, doubled_weight_, doubled_places_) : kNotFollowed;
    if (pairs_.size() > num_followed && !must_search_) {
        fill_new_places(pair, product, doubled_pair);
    }
    doubled_weight_ = 0;
    doubled_places_ = 0;
    on_left_.clear();
    on_right_.clear();
}

uint32_t MergeLearner::follow_if(TokenId left, TokenId right, uint64_t weight, uint32_t num_places) {
    if (must_search_ || !rule_.follows(left, right, weight)) {
        return kNotFollowed;
    }
    const uint32_t pair = pairs_.add(left, right, weight, num_places);
    must_search_ = pair == kNotFollowed;  // for lack of room
    return pair;
}

void MergeLearner::fill_new_places(uint32_t pair, TokenId product, uint32_t doubled_pair) {
    const size_t width = corpus_.width_of(product);
    size_t last_end = 0;
    for (size_t i = 0; i < num_places(pair); ++i) {
        const size_t at = pairs_.place(pair, i);
        if (at < last_end || corpus_[at] != product) {
            continue;
        }
        last_end = at + width;
        const uint32_t before = corpus_[at - 1];
        if (before == product) {
            pairs_.add_place(doubled_pair, at - width);
        } else if (MergeCorpus::is_token(before)) {
            pairs_.add_place(on_left_[before].pair, at - corpus_.width_of(before));
        }
        const uint32_t after = corpus_[last_end];
        if (MergeCorpus::is_token(after) && after != product) {
            pairs_.add_place(on_right_[after].pair, at);
        }
    }
}

// What stays from search to search.
size_t MergeLearner::held_bytes() const {
    const size_t per_token = sizeof(Merge) + 2 * sizeof(uint64_t);
    return corpus_.memory_bytes() + on_left_.memory_bytes() + on_right_.memory_bytes() + tokens_.memory_bytes() +
           tokens_.size() * per_token;
}

size_t MergeLearner::room_bytes() const {
    const size_t limit = options_.memory_limit_bytes;
    return limit == 0 ? PairSearch::kUnlimited : limit - std::min(limit, held_bytes());
}

}  // namespace

LearnedMerges learn_merges(MergeCorpus corpus, const LearnOptions& options, std::vector<uint64_t> num_dropped) {
    return MergeLearner(std::move(corpus), options, std::move(num_dropped)).learn();
}

}  // namespace textmill::tokenizer
