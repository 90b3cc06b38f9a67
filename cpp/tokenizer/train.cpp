#include "tokenizer/train.h"

#include <algorithm>
#include <numeric>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>

#include "tokenizer/parallel.h"

namespace textmill::tokenizer {
namespace {

constexpr size_t kTaskBytes = size_t{1} << 20;
constexpr size_t kPollMerges = 64;

// Stands between two words, and before the first.
constexpr TokenId kSeparator = 0xFFFFFFFF;
// Stands where a token begins no more since it was merged to its left.
constexpr TokenId kInside = 0xFFFFFFFE;

// All words in one array, a slot for each byte and a separator before each word. A token's id stands in its first slot
// and in its last, so that the neighbours on both sides are found without links: a token at `at` ends at
// at + length - 1, and the id in slot at - 1 says how long the token before it is.
class Corpus {
  public:
    Corpus(const WordCounts& words, TokenId first_id);

    size_t num_slots() const { return slots_.size(); }
    TokenId operator[](size_t at) const { return slots_[at]; }
    uint32_t length_of(TokenId id) const { return lengths_[id]; }

    size_t next_of(size_t at) const { return at + lengths_[slots_[at]]; }
    bool holds_pair(size_t at, TokenId left, TokenId right) const {
        return slots_[at] == left && slots_[at + lengths_[left]] == right;
    }

    // How often the word around a slot stands in the text.
    uint64_t count_at(size_t at) const;

    TokenId add_token(TokenId left, TokenId right);
    void merge(size_t at, TokenId left, TokenId right, TokenId product);

  private:
    static constexpr unsigned kBlockBits = 5;

    std::vector<TokenId> slots_;
    std::vector<uint32_t> lengths_;      // of tokens, in bytes
    std::vector<uint32_t> word_begins_;  // ascending
    std::vector<uint64_t> word_counts_;
    std::vector<uint32_t> block_words_;  // the last word that begins at or before each block of 2^kBlockBits slots
};

Corpus::Corpus(const WordCounts& words, TokenId first_id) : lengths_(first_id + 256, 1) {
    std::array<TokenId, 256> byte_ids{};
    const std::array<uint8_t, 256> alphabet = bytes_in_alphabet_order();
    for (TokenId i = 0; i < alphabet.size(); ++i) {
        byte_ids[alphabet[i]] = first_id + i;
    }
    size_t num_slots = 1;
    size_t num_words = 0;
    for (const WordCounts::Word& word : words.words()) {
        if (word.num_bytes > 1) {
            num_slots += word.num_bytes + 1;
            ++num_words;
        }
    }
    if (num_slots >= kInside) {
        throw std::length_error("the different pieces of the text hold more than 4 GiB together");
    }
    slots_.reserve(num_slots);
    word_begins_.reserve(num_words);
    word_counts_.reserve(num_words);
    slots_.push_back(kSeparator);
    for (const WordCounts::Word& word : words.words()) {
        if (word.num_bytes > 1) {
            word_begins_.push_back(static_cast<uint32_t>(slots_.size()));
            word_counts_.push_back(word.count);
            for (const char byte : words.bytes_of(word)) {
                slots_.push_back(byte_ids[static_cast<uint8_t>(byte)]);
            }
            slots_.push_back(kSeparator);
        }
    }
    block_words_.reserve((slots_.size() >> kBlockBits) + 1);
    uint32_t word = 0;
    for (size_t begin = 0; begin < slots_.size(); begin += size_t{1} << kBlockBits) {
        while (word + 1 < word_begins_.size() && word_begins_[word + 1] <= begin) {
            ++word;
        }
        block_words_.push_back(word);
    }
}

uint64_t Corpus::count_at(size_t at) const {
    uint32_t word = block_words_[at >> kBlockBits];
    while (word + 1 < word_begins_.size() && word_begins_[word + 1] <= at) {
        ++word;
    }
    return word_counts_[word];
}

TokenId Corpus::add_token(TokenId left, TokenId right) {
    lengths_.push_back(lengths_[left] + lengths_[right]);
    return static_cast<TokenId>(lengths_.size() - 1);
}

void Corpus::merge(size_t at, TokenId left, TokenId right, TokenId product) {
    const size_t middle = at + lengths_[left];
    slots_[middle] = kInside;
    slots_[at] = product;
    slots_[middle + lengths_[right] - 1] = product;
}

// The places where a pair stood when the younger of its two tokens was made. No later merge adds one, since both tokens
// are made only then: some go stale, and the count only falls.
struct Pair {
    TokenId left;
    TokenId right;
    uint64_t count;
    std::vector<uint32_t> places;  // ascending, some stale
};

struct Candidate {
    uint64_t count;  // an upper bound
    TokenId left;
    TokenId right;
    uint32_t pair;

    bool operator<(const Candidate& other) const {
        if (count != other.count) {
            return count < other.count;
        }
        return left != other.left ? left > other.left : right > other.right;
    }
};

// What a merge finds on one side of its product: a weight and the places for each neighbouring token.
class Neighbours {
  public:
    // Makes room for tokens with ids below `num_tokens`.
    void resize(size_t num_tokens) {
        weights_.resize(num_tokens, 0);
        num_places_.resize(num_tokens, 0);
    }

    void add(TokenId neighbour, uint64_t weight, uint32_t place) {
        if (num_places_[neighbour]++ == 0) {
            tokens_.push_back(neighbour);
        }
        weights_[neighbour] += weight;
        places_.emplace_back(neighbour, place);
    }

    const std::vector<TokenId>& tokens() const { return tokens_; }
    uint64_t weight_of(TokenId neighbour) const { return weights_[neighbour]; }

    // The places of each of tokens(), in the same order, each list ascending.
    std::vector<std::vector<uint32_t>> places() {
        std::vector<std::vector<uint32_t>> lists(tokens_.size());
        for (size_t i = 0; i < tokens_.size(); ++i) {
            lists[i].reserve(num_places_[tokens_[i]]);
            num_places_[tokens_[i]] = static_cast<uint32_t>(i);
        }
        for (const auto& [neighbour, place] : places_) {
            lists[num_places_[neighbour]].push_back(place);
        }
        return lists;
    }

    void clear() {
        for (const TokenId token : tokens_) {
            weights_[token] = 0;
            num_places_[token] = 0;
        }
        tokens_.clear();
        places_.clear();
    }

  private:
    std::vector<uint64_t> weights_;
    std::vector<uint32_t> num_places_;
    std::vector<TokenId> tokens_;
    std::vector<std::pair<TokenId, uint32_t>> places_;
};

class MergeLearner {
  public:
    MergeLearner(const WordCounts& words, TokenId first_id);
    LearnedMerges learn(size_t num_merges, const std::function<void()>& poll);

  private:
    static uint64_t key_of(TokenId left, TokenId right) { return uint64_t{left} << 32 | right; }

    void add_pair(TokenId left, TokenId right, uint64_t count, std::vector<uint32_t> places);
    void lower_count(TokenId left, TokenId right, uint64_t weight);
    void count_byte_pairs(TokenId first_id);
    void apply(const Pair& pair, TokenId product);
    void settle(const Pair& pair, TokenId product);

    Corpus corpus_;
    std::vector<Pair> pairs_;
    std::unordered_map<uint64_t, uint32_t> pair_index_;
    std::priority_queue<Candidate> candidates_;
    Neighbours on_left_;
    Neighbours on_right_;
    uint64_t doubled_weight_ = 0;  // of the product beside itself
    std::vector<uint32_t> doubled_places_;
};

MergeLearner::MergeLearner(const WordCounts& words, TokenId first_id) : corpus_(words, first_id) {
    count_byte_pairs(first_id);
}

void MergeLearner::count_byte_pairs(TokenId first_id) {
    constexpr size_t kNumBytePairs = size_t{256} * 256;
    const auto byte_pair_at = [&](size_t at) {
        return size_t{corpus_[at] - first_id} * 256 + (corpus_[at + 1] - first_id);
    };
    const auto each_pair = [&](const auto& visit) {
        for (size_t at = 0; at + 1 < corpus_.num_slots(); ++at) {
            if (corpus_[at] != kSeparator && corpus_[at + 1] != kSeparator) {
                visit(at);
            }
        }
    };
    std::vector<uint64_t> counts(kNumBytePairs, 0);
    std::vector<uint32_t> num_places(kNumBytePairs, 0);
    each_pair([&](size_t at) { ++num_places[byte_pair_at(at)]; });
    std::vector<std::vector<uint32_t>> places(kNumBytePairs);
    for (size_t pair = 0; pair < kNumBytePairs; ++pair) {
        places[pair].reserve(num_places[pair]);
    }
    each_pair([&](size_t at) {
        counts[byte_pair_at(at)] += corpus_.count_at(at);
        places[byte_pair_at(at)].push_back(static_cast<uint32_t>(at));
    });
    for (size_t pair = 0; pair < kNumBytePairs; ++pair) {
        if (counts[pair] > 0) {
            add_pair(first_id + static_cast<TokenId>(pair / 256), first_id + static_cast<TokenId>(pair % 256),
                     counts[pair], std::move(places[pair]));
        }
    }
}

void MergeLearner::add_pair(TokenId left, TokenId right, uint64_t count, std::vector<uint32_t> places) {
    const auto index = static_cast<uint32_t>(pairs_.size());
    pairs_.push_back({left, right, count, std::move(places)});
    pair_index_.emplace(key_of(left, right), index);
    candidates_.push({count, left, right, index});
}

void MergeLearner::lower_count(TokenId left, TokenId right, uint64_t weight) {
    const auto found = pair_index_.find(key_of(left, right));
    if (found != pair_index_.end()) {  // the pair being merged is gone from the index already
        pairs_[found->second].count -= weight;
    }
}

LearnedMerges MergeLearner::learn(size_t num_merges, const std::function<void()>& poll) {
    LearnedMerges learned;
    while (learned.merges.size() < num_merges && !candidates_.empty()) {
        const Candidate best = candidates_.top();
        candidates_.pop();
        const uint64_t count = pairs_[best.pair].count;
        if (count == 0) {
            pair_index_.erase(key_of(best.left, best.right));
            pairs_[best.pair].places = {};
            continue;
        }
        if (count != best.count) {
            candidates_.push({count, best.left, best.right, best.pair});
            continue;
        }
        const Pair pair = std::move(pairs_[best.pair]);
        pair_index_.erase(key_of(pair.left, pair.right));
        const TokenId product = corpus_.add_token(pair.left, pair.right);
        learned.merges.push_back({pair.left, pair.right, product});
        learned.counts.push_back(count);
        on_left_.resize(product);
        on_right_.resize(product);
        apply(pair, product);
        settle(pair, product);
        if (learned.merges.size() % kPollMerges == 0) {
            poll();
        }
    }
    return learned;
}

// Merges every place of a pair from left to right, and notes what stands beside the products.
void MergeLearner::apply(const Pair& pair, TokenId product) {
    for (const uint32_t at : pair.places) {
        if (!corpus_.holds_pair(at, pair.left, pair.right)) {
            continue;
        }
        const uint64_t weight = corpus_.count_at(at);
        corpus_.merge(at, pair.left, pair.right, product);
        const TokenId before = corpus_[at - 1];
        if (before == product) {
            doubled_weight_ += weight;
            doubled_places_.push_back(at - corpus_.length_of(product));
        } else if (before != kSeparator) {
            on_left_.add(before, weight, at - corpus_.length_of(before));
        }
        const TokenId after = corpus_[corpus_.next_of(at)];
        if (after != kSeparator) {
            on_right_.add(after, weight, at);
        }
    }
}

// Turns what apply() noted into new pairs, and lowers the counts of those that they took the place of.
void MergeLearner::settle(const Pair& pair, TokenId product) {
    std::vector<std::vector<uint32_t>> places = on_left_.places();
    for (size_t i = 0; i < places.size(); ++i) {
        const TokenId before = on_left_.tokens()[i];
        lower_count(before, pair.left, on_left_.weight_of(before));
        add_pair(before, product, on_left_.weight_of(before), std::move(places[i]));
    }
    places = on_right_.places();
    for (size_t i = 0; i < places.size(); ++i) {
        const TokenId after = on_right_.tokens()[i];
        lower_count(pair.right, after, on_right_.weight_of(after));
        // In a run ("abab"), the left token after one product has itself become part of the next product since.
        const uint64_t merged_since = after == pair.left ? doubled_weight_ : 0;
        add_pair(product, after, on_right_.weight_of(after) - merged_since, std::move(places[i]));
    }
    if (doubled_weight_ > 0) {
        add_pair(product, product, doubled_weight_, std::exchange(doubled_places_, {}));
        doubled_weight_ = 0;
    }
    on_left_.clear();
    on_right_.clear();
}

}  // namespace

std::array<uint8_t, 256> bytes_in_alphabet_order() {
    const auto stands_for_itself = [](unsigned byte) {
        return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    };
    std::array<uint8_t, 256> order{};
    std::iota(order.begin(), order.end(), uint8_t{0});
    std::stable_partition(order.begin(), order.end(), stands_for_itself);
    return order;
}

Trainer::Trainer(std::shared_ptr<const Splitter> splitter, unsigned num_threads, size_t memory_limit_bytes)
    : splitter_(std::move(splitter)), num_threads_(num_threads), memory_limit_bytes_(memory_limit_bytes), counts_(1) {}

void Trainer::add(std::span<const std::string_view> texts) {
    const std::vector<Task> tasks = cut_into_tasks(*splitter_, texts, kTaskBytes);
    const unsigned threads = threads_for(num_threads_, tasks.size());
    if (counts_.size() < threads) {
        counts_.resize(threads);
    }
    run_tasks(tasks.size(), threads, [&](size_t task, unsigned thread) {
        for (const TextPart& part : tasks[task]) {
            Scanner scanner(*splitter_, part.bytes);
            Piece piece{};
            while (scanner.next(piece)) {
                counts_[thread].add(part.bytes.substr(piece.begin, piece.end - piece.begin), 1);
            }
        }
    });
    for (const std::string_view text : texts) {
        num_bytes_ += text.size();
    }
    check_memory();
}

void Trainer::check_memory() const {
    size_t memory_bytes = 0;
    for (const WordCounts& counts : counts_) {
        memory_bytes += counts.memory_bytes();
    }
    if (memory_limit_bytes_ > 0 && memory_bytes > memory_limit_bytes_) {
        throw MemoryLimitError("counting the pieces of the text", memory_bytes, memory_limit_bytes_);
    }
}

const WordCounts& Trainer::counted() const {
    while (counts_.size() > 1) {
        counts_.front().merge(counts_.back());
        counts_.pop_back();
    }
    return counts_.front();
}

uint64_t Trainer::num_pieces() const {
    uint64_t num_pieces = 0;
    for (const WordCounts::Word& word : counted().words()) {
        num_pieces += word.count;
    }
    return num_pieces;
}

size_t Trainer::num_words() const {
    return counted().size();
}

LearnedMerges Trainer::learn(size_t num_merges, TokenId first_id, const std::function<void()>& poll) const {
    const WordCounts& words = counted();
    if (memory_limit_bytes_ > 0) {
        // A slot of 4 bytes for each byte and separator, and up to three places of 4 bytes: one at the start, and two
        // for each of the merges, of which there are fewer than bytes.
        constexpr size_t kBytesPerSlot = 16;
        size_t num_slots = 1;
        for (const WordCounts::Word& word : words.words()) {
            num_slots += word.num_bytes + size_t{1};
        }
        const size_t needed_bytes = words.memory_bytes() + num_slots * kBytesPerSlot;
        if (needed_bytes > memory_limit_bytes_) {
            throw MemoryLimitError("learning the merges", needed_bytes, memory_limit_bytes_);
        }
    }
    return MergeLearner(words, first_id).learn(num_merges, poll);
}

}  // namespace textmill::tokenizer
