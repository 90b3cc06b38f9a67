// Learning the merges of a byte-level BPE vocabulary from text: exact, and the same for any number of threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/scanner.h"
#include "tokenizer/vocab.h"
#include "tokenizer/word_counts.h"

namespace textmill::tokenizer {

// The 256 bytes in the order of the characters that stand for them in a tokenizer.json: the printable ones of Latin-1
// first, then the others. Token ids of bytes are given in this order.
std::array<uint8_t, 256> bytes_in_alphabet_order();

struct LearnedMerges {
    std::vector<Merge> merges;
    std::vector<uint64_t> counts;  // how often each pair stood in the text when it was merged
};

// Usage: add() all the text, in any number of calls, then learn().
class Trainer {
  public:
    // `memory_limit_bytes` bounds what counting and merging hold; 0 is no limit. Zero threads are one for each core.
    Trainer(std::shared_ptr<const Splitter> splitter, unsigned num_threads, size_t memory_limit_bytes);

    // Counts the pieces of texts; each is split by itself. Throws MemoryLimitError.
    void add(std::span<const std::string_view> texts);

    // Learns up to `num_merges` merges and stops early when no pair is left. The bytes have the ids from `first_id` on,
    // in alphabet order, and products the ids after them. The pair with the highest count comes first; of equals, the
    // one with the smallest ids: the rule of Hugging Face's BpeTrainer. Overlapping pairs all count ("aaa" holds two),
    // and merging goes from left to right. `poll` is called every few milliseconds and may throw to stop.
    LearnedMerges learn(size_t num_merges, TokenId first_id, const std::function<void()>& poll) const;

    uint64_t num_bytes() const { return num_bytes_; }
    uint64_t num_pieces() const;

    // Different pieces.
    size_t num_words() const;

  private:
    const WordCounts& counted() const;
    void check_memory() const;

    std::shared_ptr<const Splitter> splitter_;
    unsigned num_threads_;
    size_t memory_limit_bytes_;
    uint64_t num_bytes_ = 0;
    mutable std::vector<WordCounts> counts_;  // one a thread, put together into the first when they are read
};

}  // namespace textmill::tokenizer
