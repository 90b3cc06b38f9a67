// The words of a text as 64-bit hashes: what deduplication compares.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace textmill::text {

// A word is a run of letters, marks and numbers (\p{L}\p{M}\p{N}), without case; a letter of a script that puts no
// spaces between words (Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar) is one by itself, with the marks behind it.
// All else only separates: copies that differ in punctuation, also inside of a word, have the same words.
//
// Holds the memory that it works in; one for each thread.
class WordHasher {
  public:
    // The hashes of a text's words, in their order. Valid until the next call.
    std::span<const uint64_t> hash(std::string_view text);

  private:
    size_t scan_ascii(std::string_view text, size_t at);
    size_t scan_any(std::string_view text, size_t at);

    std::vector<uint64_t> hashes_;
    size_t num_hashes_ = 0;
    std::string folded_;
};

}  // namespace textmill::text
