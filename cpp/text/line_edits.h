// C4's rules (arXiv:1910.10683 §2.2): lines that are taken out of a text, and texts that are dropped for a line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace textmill::text {

struct LineRules {
    std::string end_marks;      // of ASCII: lines that end in none of them, or in "...", are taken out; empty: all stay
    size_t min_words;           // lines with fewer are taken out; what white space parts is a word
    bool count_words_last;      // after citations are removed
    size_t max_word_length;     // lines with a longer word (in characters) are taken out; 0: all stay
    size_t min_sentences;       // texts with fewer are dropped
    bool removes_citations;     // [1], [edit], [citation needed]
    bool removes_javascript;    // lines that speak of it
    bool removes_policies;      // lines that speak of terms of use, cookies and the like
    bool drops_lorem_ipsum;     // texts with such a line
    bool drops_curly_brackets;  // texts with a line that has a {
};

// Why a text is dropped.
enum class LineVerdict : int8_t { kKept = -1, kLoremIpsum = 0, kCurlyBracket = 1, kTooFewSentences = 2 };

class LineEditor {
  public:
    // Appends what is left of a text, where it is kept.
    LineVerdict edit(std::string_view text, const LineRules& rules, std::string& edited);

    // Sentences in the lines that stayed of the last text.
    size_t num_sentences() const { return num_sentences_; }

  private:
    enum class Fate : int8_t { kStays, kGoes, kLoremIpsum, kCurlyBracket };
    Fate judge(std::string_view& line, const LineRules& rules);
    bool speaks_of(std::string_view phrase) const { return lower_.find(phrase) != std::string::npos; }

    std::string line_;   // without citations
    std::string lower_;  // in small letters
    std::vector<uint32_t> sentence_ends_;
    size_t num_sentences_ = 0;
};

}  // namespace textmill::text
