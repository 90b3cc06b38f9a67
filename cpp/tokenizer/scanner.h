// Splitting text into pieces: hand-written matchers for the patterns of known tokenizers. Linear, no recursion.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "tokenizer/unicode.h"

namespace textmill::tokenizer {

enum class Pattern : uint8_t {
    kGpt2,    // GPT-2's regex
    kCl100k,  // GPT-4's regex in its original form, as Llama 3 and Hugging Face write it
    kChar,    // every character is a piece
};

// Which alternative of the pattern matched a piece. Python keeps the regex text of each in
// textmill/tokenizer/patterns.py.
enum class Alternative : uint8_t {
    kContraction = 0,  // 's 't 're 've 'm 'll 'd
    kLetters = 1,
    kNumbers = 2,
    kOther = 3,          // neither letter, number nor whitespace
    kNewlines = 4,       // whitespace up to and with the last newline
    kLeadingSpaces = 5,  // whitespace but for its last character, or all of it at the end of the text
    kSpaces = 6,         // whitespace that nothing else took
    kCharacter = 7,
};

struct Piece {
    size_t begin;
    size_t end;
    Alternative alternative;
};

// The name as Python and files write it ("gpt2", "cl100k", "char"), to a pattern.
std::optional<Pattern> pattern_named(std::string_view name);
const char* pattern_name(Pattern pattern);

// Walks over a text piece by piece. The pieces tile the text: nothing is dropped. The text must outlive the scanner.
class Scanner {
  public:
    Scanner(Pattern pattern, std::string_view text) : pattern_(pattern), text_(text) {}

    // Moves to the next piece; false at the end of the text.
    bool next(Piece& piece);

  private:
    Pattern pattern_;
    std::string_view text_;
    size_t at_ = 0;
};

// The first place at or after `from` where every pattern ends a piece whatever comes after it: between an ASCII letter
// and an ASCII space or newline. The text's size where there is none. Cutting here changes no piece: runs of letters
// end at whitespace anyhow, and no lookahead of a pattern starts inside letters.
size_t next_safe_cut(std::string_view text, size_t from);

}  // namespace textmill::tokenizer
