#include "text/folded_words.h"

#include <memory>

#include "text/scripts_without_spaces.h"
#include "tokenizer/case_folding.h"
#include "tokenizer/normalize.h"

namespace textmill::text {
namespace {

using tokenizer::CodePointRange;

template <typename Change>
void each_of(const char* property, Change&& change) {
    for (const CodePointRange& range : tokenizer::property_ranges(property)) {
        for (uint32_t code_point = range.first; code_point <= range.last; ++code_point) {
            change(code_point);
        }
    }
}

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

bool fill_table() {
    const auto held = std::make_unique<FoldTable>();
    FoldTable& representative = *held;
    fold_case(representative);
    for (const char* const property : {"L", "N"}) {
        each_of(property, [&](uint32_t code_point) {
            table[code_point] = representative[tokenizer::base_character(code_point)];
        });
    }
    for (const CodePointRange& range : scripts_without_spaces()) {
        for (uint32_t code_point = range.first; code_point <= range.last; ++code_point) {
            if (tokenizer::class_of(code_point) == tokenizer::CharClass::kLetter) {
                table[code_point] |= kAlone;
            }
        }
    }
    for (const char* const property : {"M", "Cf"}) {
        each_of(property, [](uint32_t code_point) { table[code_point] = kIgnored; });
    }
    return true;
}

}  // namespace

const FoldTable& fold_table() {
    static const bool is_filled = fill_table();
    (void)is_filled;
    return table;
}

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
