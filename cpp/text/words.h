// Words as people count them: runs of letters and numbers, and of one and the same symbol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/unicode.h"

namespace textmill::text {

// What a character does to a word.
enum class WordClass : uint8_t {
    kSymbol = 0,  // all else: a word of its own, together with the same symbols that follow it
    kSpace,       // parts words
    kLetter,      // goes on with letters, numbers and marks before it
    kNumber,
    kMark,   // marks and format characters: belong to the word before them
    kAlone,  // ideographs, kana, and letters of scripts without spaces (Thai, Lao, Khmer, Myanmar): a word by itself
};

WordClass word_class_of(uint32_t code_point);

struct WordSpan {
    uint32_t begin;  // bytes of the text
    uint32_t end;
    bool has_letter;  // a character of \p{L} is in it
    bool is_symbol;   // a symbol, once or more often in a row; else it is made of letters, numbers and marks
};

// Replaces `words` by those of a text, from left to right; what is between them is white space. In a word, one of ' ’ -
// stays inside where a letter or number follows (don't, state-of-the-art), one of . , between two numbers (3.14).
// Throws std::length_error for a text of 4 GiB or more.
void split_words(std::string_view text, std::vector<WordSpan>& words);

}  // namespace textmill::text
