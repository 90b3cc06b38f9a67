// Texts as the hashed n-grams of their words: features of a linear model, without a vocabulary.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace textmill::text {

// Row i has buckets[starts[i]] to buckets[starts[i + 1]]: the distinct buckets of a text in the order in which they
// first come.
struct BucketRows {
    std::vector<int64_t> starts;
    std::vector<uint32_t> buckets;
};

// Hashes the 1-grams to `max_ngram`-grams of each text into `num_buckets`, which is a power of two. A word is a run of
// letters and numbers whatever their case (folded_words.h), or a run of one and the same other character that is no
// space. The result does not depend on the number of threads; zero is one for each core.
BucketRows hashed_ngrams(std::span<const std::string_view> texts, size_t num_buckets, size_t max_ngram,
                         unsigned num_threads);

// The linear score of each text: bias and the sum of its buckets' weights, over the square root of their number.
std::vector<float> linear_scores(std::span<const std::string_view> texts, std::span<const float> weights, float bias,
                                 size_t max_ngram, unsigned num_threads);

}  // namespace textmill::text
