// Words as matching sees them: runs of letters and numbers, without marks, whatever their case; all else parts them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/unicode.h"

namespace textmill::text {

// What becomes of a character: kSeparator, kIgnored (marks, and format characters, which nobody sees), or the character
// that stands for its letter in any case, with kAlone where it is a word by itself: ideographs, kana and the letters of
// scripts that put no spaces between words (Thai, Lao, Khmer, Myanmar).
constexpr uint32_t kSeparator = 0;
constexpr uint32_t kIgnored = 1;
constexpr uint32_t kAlone = uint32_t{1} << 31;

using FoldTable = std::array<uint32_t, tokenizer::kNumCodePoints>;
const FoldTable& fold_table();

struct FoldedWord {
    uint64_t hash;   // of its folded characters
    uint32_t begin;  // bytes of the text
    uint32_t end;
};

// Every bit of the state counts for every bit of the hash (the finalizer of SplitMix64).
inline uint64_t avalanche(uint64_t state) {
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9;
    state = (state ^ (state >> 27)) * 0x94D049BB133111EB;
    return state ^ (state >> 31);
}

// Hashes a word character by character.
class WordHash {
  public:
    void add(uint32_t folded) { state_ = (state_ ^ folded) * 0x9E3779B97F4A7C15; }
    uint64_t value() const { return avalanche(state_); }

  private:
    uint64_t state_ = 0xCBF29CE484222325;
};

// Reads the word that begins at the character at `at`, whose folded form is known to be no separator and not ignored.
inline FoldedWord read_folded_word(std::string_view text, size_t at, const FoldTable& table) {
    const size_t begin = at;
    WordHash hash;
    while (at < text.size()) {
        const auto byte = static_cast<uint8_t>(text[at]);
        if (byte < 0x80) [[likely]] {
            const uint32_t folded = table[byte];
            if (folded == kSeparator) {
                break;
            }
            hash.add(folded);
            ++at;
            continue;
        }
        const tokenizer::Char character = tokenizer::char_at(text, at);
        const uint32_t folded = table[character.code_point];
        const bool is_alone = (folded & kAlone) != 0;
        if (folded == kSeparator || (is_alone && at != begin)) {
            break;
        }
        at += character.num_bytes;
        if (folded != kIgnored) {
            hash.add(folded);
        }
        if (is_alone) {
            break;
        }
    }
    return {hash.value(), static_cast<uint32_t>(begin), static_cast<uint32_t>(at)};
}

// Calls sink(FoldedWord) for each word from left to right. Texts are shorter than 4 GiB.
template <typename Sink>
void each_folded_word(std::string_view text, Sink&& sink) {
    const FoldTable& table = fold_table();
    for (size_t at = 0; at < text.size();) {
        const auto byte = static_cast<uint8_t>(text[at]);
        const tokenizer::Char character = byte < 0x80 ? tokenizer::Char{byte, 1} : tokenizer::char_at(text, at);
        if (table[character.code_point] <= kIgnored) {
            at += character.num_bytes;
            continue;
        }
        const FoldedWord word = read_folded_word(text, at, table);
        sink(word);
        at = word.end;
    }
}

// Replaces `words` by those of a text.
void read_folded_words(std::string_view text, std::vector<FoldedWord>& words);

// The folded characters of words [first, last) of a text, one space between two words.
std::vector<uint32_t> folded_characters(std::string_view text, const FoldedWord* first, const FoldedWord* last);

}  // namespace textmill::text
