// N-grams of words by their hashes, and where they stand: found in one pass over a text, a word at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace textmill::text {

// Where an n-gram stands in what was indexed.
struct Posting {
    uint32_t entry;
    uint32_t position;  // of its first word
};

// The hash of the last `n` words, from the hashes of words: a polynomial modulo 2^64.
class RollingHash {
  public:
    explicit RollingHash(size_t n) : last_(n), leaving_factor_(1) {
        for (size_t i = 0; i < n; ++i) {
            leaving_factor_ *= kFactor;
        }
    }

    // Says whether there are n words yet.
    bool add(uint64_t word) {
        value_ = value_ * kFactor + word - last_[next_] * leaving_factor_;
        last_[next_] = word;
        next_ = next_ + 1 == last_.size() ? 0 : next_ + 1;
        num_words_ += num_words_ < last_.size() ? 1 : 0;
        return num_words_ == last_.size();
    }

    uint64_t value() const { return value_; }

  private:
    static constexpr uint64_t kFactor = 0xD6E8FEB86659FD93;
    std::vector<uint64_t> last_;
    uint64_t leaving_factor_;
    uint64_t value_ = 0;
    size_t next_ = 0;
    size_t num_words_ = 0;
};

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

    bool may_have(uint64_t hash) const {
        const uint64_t bits = bits_of(hash);
        return (filter_[block_of(hash)] & bits) == bits;
    }

    // All places of an n-gram, by entry and position.
    std::span<const Posting> find(uint64_t hash) const;

  private:
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
