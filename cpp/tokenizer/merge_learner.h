// Learning merges from counted words: exact, in a bounded amount of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "tokenizer/merge_corpus.h"
#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

struct LearnedMerges {
    std::vector<Merge> merges;
    std::vector<uint64_t> counts;        // how often each pair stood in the text when it was merged
    std::vector<uint64_t> token_counts;  // by id: how often each token stands in the text after all merges
    uint64_t num_ties = 0;               // merges where another pair stood as often
};

struct LearnOptions {
    size_t num_tokens = 0;       // new ones to learn at most, seeds among them
    uint64_t min_frequency = 1;  // pairs that stand less often are not merged
    // Longer tokens than two bytes must have fewer than this, as in Hugging Face's BpeTrainer; 0 is no limit.
    size_t max_token_length = 0;
    size_t memory_limit_bytes = 0;    // for all that learning holds; 0 is no limit
    unsigned num_threads = 1;         // what is learned does not depend on it
    std::vector<std::string> tokens;  // the bytes of each token by id; empty where no text becomes it
    std::vector<Merge> seeds;         // merges to make first, in this order
    std::vector<std::string> never;   // byte strings that no merge may make, seeds apart
    std::function<void()> poll;       // called every few milliseconds; may throw to stop
};

// Learns merges, best pair first: the highest count, of equals the smallest ids. `num_dropped[id]` starts the counts of
// tokens: what stands in words that are not in the corpus. Throws MemoryLimitError.
LearnedMerges learn_merges(MergeCorpus corpus, const LearnOptions& options, std::vector<uint64_t> num_dropped);

}  // namespace textmill::tokenizer
