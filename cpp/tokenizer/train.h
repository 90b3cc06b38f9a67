// Learning the merges of a byte-level BPE vocabulary from text: exact, and the same for any number of threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/merge_learner.h"
#include "tokenizer/scanner.h"
#include "tokenizer/vocab.h"
#include "tokenizer/word_counts.h"
#include "tokenizer/word_runs.h"

namespace textmill::tokenizer {

// The 256 bytes in the order of the characters that stand for them in a tokenizer.json: the printable ones of Latin-1
// first, then the others. Token ids of bytes are given in this order.
std::array<uint8_t, 256> bytes_in_alphabet_order();

struct TrainerOptions {
    unsigned num_threads = 0;       // zero is one for each core
    size_t memory_limit_bytes = 0;  // for all that counting and merging hold; zero is no limit
    std::string spill_folder;       // where words go that the limit has no room for
};

// What to learn, on top of what.
struct Lesson {
    size_t num_tokens = 0;       // new tokens at most
    uint64_t min_frequency = 1;  // pairs that stand less often are not merged
    // Longer tokens than two bytes must have fewer than this, as in Hugging Face's BpeTrainer; 0 is no limit.
    size_t max_token_length = 0;
    std::vector<std::string> tokens;  // the bytes of each token by id, all 256 bytes among them; empty where no text
                                      // becomes it
    std::vector<Merge> merges;        // how text becomes them, by rank; applied before anything is counted
    bool whole_pieces = false;        // a piece that is a token as a whole is not merged
    std::vector<Merge> seeds;         // merges to make first, in this order
    std::vector<std::string> never;   // byte strings that no merge may make
};

// Usage: add() all the text, in any number of calls, then learn() once.
class Trainer {
  public:
    Trainer(std::shared_ptr<const Splitter> splitter, TrainerOptions options);

    // Counts the pieces of texts; each is split by itself. Throws MemoryLimitError, SpillError.
    void add(std::span<const std::string_view> texts);

    // Learns merges; products get the ids after those of the lesson's tokens. The pair with the highest count comes
    // first; of equals, the one with the smallest ids: the rule of Hugging Face's BpeTrainer. Overlapping pairs all
    // count ("aaa" holds two), and merging goes from left to right. `poll` is called every few milliseconds and may
    // throw to stop. Gives the counted words up. Throws MemoryLimitError, SpillError.
    LearnedMerges learn(const Lesson& lesson, const std::function<void()>& poll);

    uint64_t num_bytes() const { return num_bytes_; }
    uint64_t num_pieces() const { return num_pieces_; }

    // Different pieces; known once learn() has put the counts together.
    size_t num_words() const { return num_words_; }

    // How learning went; see LearnedMerges.
    uint64_t num_ties() const { return num_ties_; }
    const std::vector<uint64_t>& token_counts() const { return token_counts_; }

    size_t num_spilled_runs() const { return spill_.num_runs(); }
    uint64_t num_spilled_bytes() const { return spill_.num_bytes(); }

  private:
    class Words;

    void count_part(std::string_view text, WordCounts& counts);
    void count_within_limit(std::string_view text, std::span<const Piece> pieces, WordCounts& counts);
    Words put_together();
    bool is_limited() const { return options_.memory_limit_bytes > 0; }

    std::shared_ptr<const Splitter> splitter_;
    TrainerOptions options_;
    size_t share_bytes_;  // of the memory limit, for one thread's counts
    uint64_t num_bytes_ = 0;
    uint64_t num_pieces_ = 0;
    size_t num_words_ = 0;
    uint64_t num_ties_ = 0;
    std::vector<uint64_t> token_counts_;
    std::vector<WordCounts> counts_;  // one a thread
    std::mutex spill_mutex_;
    WordSpill spill_;
};

}  // namespace textmill::tokenizer
