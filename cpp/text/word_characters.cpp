#include "text/word_characters.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/scripts_without_spaces.h"
#include "tokenizer/case_folding.h"
#include "tokenizer/unicode.h"

namespace textmill::text {
namespace {

std::vector<WordCharacter> make_kinds() {
    std::vector<WordCharacter> kinds(tokenizer::kNumCodePoints, WordCharacter::kNone);
    const auto set = [&](std::string_view property, WordCharacter kind) {
        for (const tokenizer::CodePointRange& range : tokenizer::property_ranges(property)) {
            std::fill(kinds.begin() + range.first, kinds.begin() + range.last + 1, kind);
        }
    };
    set("L", WordCharacter::kRun);
    set("N", WordCharacter::kRun);
    set("M", WordCharacter::kMark);
    for (const tokenizer::CodePointRange& range : scripts_without_spaces()) {
        for (uint32_t code = range.first; code <= range.last; ++code) {
            if (tokenizer::class_of(code) == tokenizer::CharClass::kLetter) {
                kinds[code] = WordCharacter::kAlone;
            }
        }
    }
    return kinds;
}

// Indexed by code point; those behind the end stand for themselves.
std::vector<uint32_t> make_folded() {
    const auto pairs = tokenizer::case_pairs();
    std::vector<uint32_t> folded(pairs.empty() ? 0 : pairs.back().first + 1);
    for (uint32_t code = 0; code < folded.size(); ++code) {
        folded[code] = code;
    }
    const std::unordered_map<uint32_t, uint32_t> next_of(pairs.begin(), pairs.end());
    const auto is_ascii_lower = [](uint32_t code) { return code >= 'a' && code <= 'z'; };
    for (const auto& [code, next] : pairs) {
        uint32_t chosen = code;
        for (uint32_t other = next; other != code; other = next_of.at(other)) {
            if (is_ascii_lower(other) || (!is_ascii_lower(chosen) && other < chosen)) {
                chosen = other;
            }
        }
        folded[code] = chosen;
    }
    return folded;
}

}  // namespace

WordCharacter word_character(uint32_t code_point) {
    static const std::vector<WordCharacter> kinds = make_kinds();
    return kinds[code_point];
}

void append_folded(uint32_t code_point, std::string& text) {
    static const std::vector<uint32_t> folded = make_folded();
    const uint32_t code = code_point < folded.size() ? folded[code_point] : code_point;
    const auto trail = [&](uint32_t shift) { text += static_cast<char>(0x80 | (code >> shift & 0x3F)); };
    if (code < 0x80) {
        text += static_cast<char>(code);
        return;
    }
    if (code < 0x800) {
        text += static_cast<char>(0xC0 | code >> 6);
    } else {
        if (code < 0x10000) {
            text += static_cast<char>(0xE0 | code >> 12);
        } else {
            text += static_cast<char>(0xF0 | code >> 18);
            trail(12);
        }
        trail(6);
    }
    trail(0);
}

}  // namespace textmill::text
