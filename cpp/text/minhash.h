// MinHash signatures (Broder 1997) in bands (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, §3.4): texts
// whose sets of shingles have the Jaccard index s share a band's key with probability s^rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace textmill::text {

struct MinHashShape {
    size_t bands;
    size_t rows;
    size_t ngram;
    uint64_t seed;
};

// The key of each band of each text, row by row; all are 0 for a text without words, and no other key is.
std::vector<uint64_t> minhash_bands(std::span<const std::string_view> texts, const MinHashShape& shape,
                                    unsigned num_threads);

// The same of sets of shingles; the shape's ngram has no part in it.
std::vector<uint64_t> minhash_bands_of_sets(std::span<const std::span<const uint64_t>> sets, const MinHashShape& shape,
                                            unsigned num_threads);

}  // namespace textmill::text
