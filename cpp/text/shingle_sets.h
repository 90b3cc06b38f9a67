// Sets of shingles, and how much two of them have in common.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace textmill::text {

// Set i is shingles[offsets[i]] to shingles[offsets[i + 1]], ascending, each once.
struct ShingleSets {
    std::vector<uint64_t> shingles;
    std::vector<int64_t> offsets;
};

ShingleSets shingle_sets(std::span<const std::string_view> texts, size_t ngram, unsigned num_threads);

// The Jaccard index of two sets, each ascending: of what is in either, the share that is in both. Of two empty sets: 0.
double jaccard(std::span<const uint64_t> a, std::span<const uint64_t> b);

}  // namespace textmill::text
