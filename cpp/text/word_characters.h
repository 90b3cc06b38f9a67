// What a character is to the words that deduplication compares, and what it is without case.
#pragma once

#include <cstdint>
#include <string>

namespace textmill::text {

enum class WordCharacter : uint8_t {
    kNone = 0,   // separates words
    kRun = 1,    // goes on with its neighbours
    kMark = 2,   // goes on with whatever word is before it
    kAlone = 3,  // a letter of a script without spaces
};

WordCharacter word_character(uint32_t code_point);

// Appends the UTF-8 of the character that stands for all those equal to it where case is ignored (Unicode's simple case
// folding): the ASCII letter in lower case where there is one, else the first of them.
void append_folded(uint32_t code_point, std::string& text);

}  // namespace textmill::text
