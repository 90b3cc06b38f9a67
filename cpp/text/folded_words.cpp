#include "text/folded_words.h"

#include <array>
#include <memory>

#include "text/utf8_sequence.h"
#include "text/word_classes.h"
#include "tokenizer/case_folding.h"
#include "tokenizer/normalize.h"

namespace textmill::text {
namespace {

// What becomes of a character: kSeparator, kIgnored (marks, and format characters, which nobody sees), or the character
// that stands for its letter in any case, with kAlone where it is a word by itself (word_classes.h).
constexpr uint32_t kSeparator = 0;
constexpr uint32_t kIgnored = 1;
constexpr uint32_t kAlone = uint32_t{1} << 31;

using FoldTable = std::array<uint32_t, tokenizer::kNumCodePoints>;

// Of the characters that are equal in any case, ASCII's small letter, or the one that comes first.
void fold_case(FoldTable& representative) {
    for (uint32_t code_point = 0; code_point < tokenizer::kNumCodePoints; ++code_point) {
        representative[code_point] = code_point;
    }
    // The next character of the last one of a ring is its first: going through all in order, the first comes first.
    const auto pairs = tokenizer::case_pairs();
    for (const auto& [code_point, next] : pairs) {
        if (next > code_point) {
            representative[next] = representative[code_point];
        }
    }
    const auto to_small = [](uint32_t c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; };
    for (const auto& [code_point, next] : pairs) {
        representative[code_point] = to_small(representative[code_point]);
    }
}

// In static storage, zero (kSeparator) to start with.
FoldTable table;

uint32_t folded_as(uint32_t code_point, const FoldTable& representative) {
    switch (word_classes()[code_point]) {
        case WordClass::kSymbol:
        case WordClass::kSpace:
            return kSeparator;
        case WordClass::kMark:
            return kIgnored;
        case WordClass::kAlone:
            return representative[tokenizer::base_character(code_point)] | kAlone;
        default:
            return representative[tokenizer::base_character(code_point)];
    }
}

bool fill_table() {
    const auto representative = std::make_unique<FoldTable>();
    fold_case(*representative);
    for (uint32_t code_point = 0; code_point < tokenizer::kNumCodePoints; ++code_point) {
        if (const uint32_t folded = folded_as(code_point, *representative); folded != kSeparator) {
            table[code_point] = folded;  // pages without words stay untouched
        }
    }
    return true;
}

const FoldTable& fold_table() {
    static const bool is_filled = fill_table();
    (void)is_filled;
    return table;
}

}  // namespace

namespace internal {

size_t skip_to_word(std::string_view text, size_t at) {
    const FoldTable& folded_of = fold_table();
    while (at < text.size()) {
        const tokenizer::Char character = tokenizer::char_at(text, at);
        if (folded_of[character.code_point] > kIgnored) {
            break;
        }
        at += character.num_bytes;
    }
    return at;
}

FoldedWord read_folded_word(std::string_view text, size_t begin, std::string& folded) {
    constexpr size_t kMostBytes = 4;
    const FoldTable& folded_of = fold_table();
    size_t num_bytes = 0;
    size_t at = begin;
    while (at < text.size()) {
        const tokenizer::Char character = tokenizer::char_at(text, at);
        const uint32_t next = folded_of[character.code_point];
        const bool is_alone = (next & kAlone) != 0;
        if (next == kSeparator || (is_alone && at != begin)) {
            break;
        }
        at += character.num_bytes;
        if (next != kIgnored) {
            folded.resize(std::max(folded.size(), num_bytes + kMostBytes));
            char* const end = folded.data() + num_bytes;
            num_bytes += static_cast<size_t>(put_utf8(next & ~kAlone, end) - end);
        }
        if (is_alone) {
            break;
        }
    }
    folded.resize(std::max(folded.size(), num_bytes + 2 * kBlockBytes));
    return {hash_word(folded.data(), num_bytes, 0), static_cast<uint32_t>(begin), static_cast<uint32_t>(at)};
}

}  // namespace internal

void read_folded_words(std::string_view text, std::vector<FoldedWord>& words) {
    words.clear();
    each_folded_word(text, [&words](const FoldedWord& word) { words.push_back(word); });
}

std::vector<uint32_t> folded_characters(std::string_view text, const FoldedWord* first, const FoldedWord* last) {
    const FoldTable& folded_of = fold_table();
    std::vector<uint32_t> characters;
    for (const FoldedWord* word = first; word != last; ++word) {
        if (word != first) {
            characters.push_back(' ');
        }
        for (size_t at = word->begin; at < word->end;) {
            const tokenizer::Char character = tokenizer::char_at(text, at);
            if (const uint32_t folded = folded_of[character.code_point]; folded != kIgnored) {
                characters.push_back(folded & ~kAlone);
            }
            at += character.num_bytes;
        }
    }
    return characters;
}

}  // namespace textmill::text
