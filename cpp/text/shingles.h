// Shingles: n words in a row (folded_words.h), each as a 64-bit hash. A text of fewer words is one shingle; one without
// words has none.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace textmill::text {

// Holds the memory that it works in; one for each thread.
class Shingler {
  public:
    explicit Shingler(size_t ngram) : ngram_(ngram) {}

    // The shingles of a text in their order, with repetitions. Valid until the next call.
    std::span<uint64_t> shingles(std::string_view text);

  private:
    // Hashes of words.
    std::span<const uint64_t> words(std::string_view text);

    size_t ngram_;
    std::vector<uint64_t> words_;
    std::vector<uint64_t> shingles_;
};

}  // namespace textmill::text
