// Words as people count them: runs of letters and numbers, and of one and the same symbol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace textmill::text {

struct WordSpan {
    uint32_t begin;  // bytes of the text
    uint32_t end;
    uint32_t num_characters;
    bool has_letter;  // a character of \p{L} is in it
    bool is_symbol;   // a symbol, once or more often in a row; else it is made of letters, numbers and marks
};

// Holds the memory that it works in; one for each thread.
class WordSplitter {
  public:
    // The words of a text, from left to right; what is between them is white space. In a word, one of ' ’ - stays
    // inside where a letter or number follows (don't, state-of-the-art), one of . , between two numbers (3.14). Valid
    // until the next call. Throws std::length_error for a text of 4 GiB or more.
    std::span<const WordSpan> split(std::string_view text);

  private:
    size_t split_ascii(std::string_view text, size_t at);
    void make_room();

    std::vector<WordSpan> words_;
    size_t num_words_ = 0;
};

}  // namespace textmill::text
