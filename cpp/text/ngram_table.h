// N-grams of words by their hashes, and where they stand: found in one pass over a text, a word at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "text/folded_words.h"

namespace textmill::text {

// Where an n-gram stands in what was indexed.
struct Posting {
    uint32_t entry;
    uint32_t position;  // of its first word
};

// The hash of n words from the hashes of words: a polynomial modulo 2^64, moved on a word at a time.
class RollingHash {
  public:
    explicit RollingHash(size_t n) : leaving_factor_(1) {
        for (size_t i = 0; i < n; ++i) {
            leaving_factor_ *= kFactor;
        }
    }

    // `leaving` is the word that was added n words ago, 0 where there is none.
    uint64_t move(uint64_t coming, uint64_t leaving) {
        value_ = value_ * kFactor + coming - leaving * leaving_factor_;
        return value_;
    }

  private:
    static constexpr uint64_t kFactor = 0xD6E8FEB86659FD93;
    uint64_t leaving_factor_;
    uint64_t value_ = 0;
};

// Calls sink(hash, number of the first word) for each n-gram of words.
template <typename Sink>
void each_ngram(std::span<const FoldedWord> words, size_t n, Sink&& sink) {
    RollingHash rolling(n);
    for (size_t i = 0; i < words.size() && i + 1 < n; ++i) {
        rolling.move(words[i].hash, 0);
    }
    for (size_t i = n - 1; i < words.size(); ++i) {
        sink(rolling.move(words[i].hash, i < n ? 0 : words[i - n].hash), i + 1 - n);
    }
}

// An immutable multimap from n-grams to postings. A filter of three bits in one word of memory answers for almost all
// n-grams that are not there.
class NgramTable {
  public:
    struct Gram {
        uint64_t hash;
        Posting posting;
    };

    NgramTable(size_t n, std::vector<Gram> grams);

    size_t n() const { return n_; }
    bool empty() const { return postings_.empty(); }

    // Calls sink(number of the first word, postings) for each n-gram of words that is here. Memory is asked for some
    // n-grams ahead of its use.
    template <typename Sink>
    void each_known(std::span<const FoldedWord> words, Sink&& sink) const {
        if (empty()) {
            return;
        }
        std::array<uint64_t, kAhead> waiting{};
        size_t num_seen = 0;
        const auto look_up = [&](size_t number) {
            const uint64_t hash = waiting[number % kAhead];
            if (may_have(hash)) [[unlikely]] {
                if (const std::span<const Posting> postings = find(hash); !postings.empty()) {
                    sink(number, postings);
                }
            }
        };
        each_ngram(words, n_, [&](uint64_t hash, size_t number) {
            if (number >= kAhead) {
                look_up(number - kAhead);
            }
            __builtin_prefetch(&filter_[block_of(hash)]);
            waiting[number % kAhead] = hash;
            num_seen = number + 1;
        });
        for (size_t number = num_seen < kAhead ? 0 : num_seen - kAhead; number < num_seen; ++number) {
            look_up(number);
        }
    }

  private:
    static constexpr size_t kAhead = 16;

    bool may_have(uint64_t hash) const {
        const uint64_t bits = bits_of(hash);
        return (filter_[block_of(hash)] & bits) == bits;
    }

    // All places of an n-gram, by entry and position.
    std::span<const Posting> find(uint64_t hash) const;

    static uint64_t spread(uint64_t hash) { return (hash ^ (hash >> 32)) * 0x9E3779B97F4A7C15; }
    static uint64_t bits_of(uint64_t hash) {
        const uint64_t mixed = spread(hash);
        return uint64_t{1} << (mixed & 63) | uint64_t{1} << ((mixed >> 6) & 63) | uint64_t{1} << ((mixed >> 12) & 63);
    }
    size_t block_of(uint64_t hash) const { return static_cast<size_t>(spread(hash) >> filter_shift_); }

    size_t n_;
    unsigned filter_shift_;
    std::vector<uint64_t> filter_;
    std::vector<uint64_t> hashes_;  // ascending, each once
    std::vector<size_t> starts_;    // of the postings of each hash, and their number
    std::vector<Posting> postings_;
};

}  // namespace textmill::text
