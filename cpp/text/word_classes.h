// What each character is to words: the one table behind the words that rules count (words.h) and those that matching
// compares (folded_words.h).
#pragma once

#include <array>
#include <cstdint>

#include "tokenizer/unicode.h"

namespace textmill::text {

enum class WordClass : uint8_t {
    kSymbol = 0,  // all else
    kSpace,
    kLetter,
    kNumber,
    kMark,   // marks and format characters: belong to the character before them
    kAlone,  // ideographs, kana, and letters of scripts without spaces (Thai, Lao, Khmer, Myanmar): a word by itself
};

using WordClassTable = std::array<WordClass, tokenizer::kNumCodePoints>;
// By code point.
const WordClassTable& word_classes();

}  // namespace textmill::text
