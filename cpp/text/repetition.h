// How much of a text repeats: Gopher's repetition rules (arXiv:2112.11446 table A1), as their Python code computes
// them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/counted_keys.h"
#include "text/seen_strings.h"
#include "text/twin_table.h"
#include "text/words.h"

namespace textmill::text {

enum RepetitionColumn : size_t {
    kDuplicateParagraphs,  // share of paragraphs that were there before
    kDuplicateParagraphCharacters,
    kDuplicateLines,
    kDuplicateLineCharacters,
    kTopNgramCharacters,  // of 2, 3 and 4 words: its characters times how often it is there
    kDuplicateNgramCharacters = kTopNgramCharacters + 3,  // of 5 to 10 words
    kNumRepetitionColumns = kDuplicateNgramCharacters + 6,
};

// Shares of the text's characters, but where paragraphs or lines are counted.
class Repetition {
  public:
    using Columns = std::array<double, kNumRepetitionColumns>;

    // Of a text that is not empty.
    Columns measure(std::string_view text);

  private:
    struct Duplicates {
        size_t num_parts = 0;
        size_t num_duplicates = 0;
        size_t num_characters = 0;
    };

    // A word whose first 8 bytes, with those of the words behind it, may be elsewhere too.
    struct Candidate {
        uint32_t word;
        bool has_long_twin;  // its first 16 bytes may be
    };

    Duplicates duplicates(std::string_view text, size_t least_newlines);
    void read_words(std::string_view text);
    void number_words();
    size_t top_ngram_characters(size_t n);
    void keep_repeated();
    void find_candidates();
    size_t duplicate_ngram_characters(size_t n);

    size_t num_words() const { return begins_.size() - 1; }
    std::string_view joined(size_t first, size_t n) const {
        return {joined_.data() + begins_[first], begins_[first + n] - begins_[first]};
    }
    size_t num_bytes(size_t first, size_t n) const { return begins_[first + n] - begins_[first]; }
    size_t characters(size_t first, size_t n) const {
        return characters_before_[first + n] - characters_before_[first];
    }

    std::vector<std::string_view> parts_;
    WordSplitter splitter_;
    std::string joined_;                       // the words without what is between them, and some bytes more
    std::vector<uint32_t> begins_;             // of each word in joined_, and its end
    std::vector<uint32_t> characters_before_;  // each word, and in all
    std::vector<uint32_t> word_numbers_;       // kOnce for words that are there only once
    std::vector<uint32_t> word_counts_;        // by number
    std::vector<uint32_t> repeated_;           // words with which an n-gram begins that is there more than once
    std::vector<uint32_t> ngram_numbers_;  // of the n-gram that begins with a word; kOnce where it is there only once
    TwinTable twins_;
    std::vector<uint32_t> places_;  // of beginnings in twins_
    std::vector<Candidate> candidates_;
    CountedKeys keys_;
    SeenStrings seen_;
};

}  // namespace textmill::text
