// What published quality filters ask of the words and lines of a text, numbers that equal those of their Python code to
// the last bit.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

#include "text/character_set.h"
#include "text/seen_strings.h"
#include "text/words.h"

namespace textmill::text {

// Gopher's quality rules (arXiv:2112.11446 §A.1.1). Ratios of a text without words or lines are NaN.
enum QualityColumn : size_t {
    kNumWords,         // words that are not all punctuation
    kMeanWordLength,   // characters of these
    kHashesPerWord,    // "#"
    kEllipsesPerWord,  // "..." and "…"
    kBulletLines,      // share of lines that begin with "•" or "-"
    kEllipsisLines,    // share of lines that end with "..." or "…"
    kWordsWithLetter,  // share of words
    kStopWords,        // how many of: the be to of and that have with
    kNumQualityColumns,
};

// FineWeb's own rules (arXiv:2406.17557 §3.6), over lines that are not blank.
enum LineColumn : size_t {
    kNumLines,
    kEndMarkLines,        // share that ends with an end mark
    kShortLines,          // share of at most 30 characters
    kDuplicateLineChars,  // characters of lines that were there before, of all but newlines
    kNewlinesPerWord,
    kNumLineColumns,
};

class WordStatistics {
  public:
    std::array<double, kNumQualityColumns> quality(std::string_view text, const CharacterSet& punctuation);
    std::array<double, kNumLineColumns> lines(std::string_view text, const CharacterSet& end_marks);

  private:
    WordSplitter splitter_;
    std::vector<std::string_view> lines_;
    SeenStrings seen_;
};

}  // namespace textmill::text
