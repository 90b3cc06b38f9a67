#include "tokenizer/scanner.h"

#include <array>
#include <utility>

namespace textmill::tokenizer {
namespace {

constexpr std::array<std::pair<std::string_view, Pattern>, 3> kPatternNames = {{
    {"gpt2", Pattern::kGpt2},
    {"cl100k", Pattern::kCl100k},
    {"char", Pattern::kChar},
}};

// U+017F, the long s, is equal to s where case is ignored. Its UTF-8:
constexpr std::string_view kLongS = "\xC5\xBF";

bool is_newline(uint32_t code_point) {
    return code_point == '\n' || code_point == '\r';
}

size_t skip_class(std::string_view text, size_t at, CharClass char_class) {
    while (at < text.size()) {
        const Char next = char_at(text, at);
        if (next.char_class != char_class) {
            break;
        }
        at += next.num_bytes;
    }
    return at;
}

size_t skip_newlines(std::string_view text, size_t at) {
    while (at < text.size() && is_newline(static_cast<uint8_t>(text[at]))) {
        ++at;
    }
    return at;
}

bool class_at_is(std::string_view text, size_t at, CharClass char_class) {
    return at < text.size() && char_at(text, at).char_class == char_class;
}

char fold_ascii(char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

// The bytes of 's, 't, 're, 've, 'm, 'll or 'd at an apostrophe; 0 where there is none.
size_t contraction_bytes(std::string_view text, size_t at, bool ignore_case) {
    const std::string_view rest = text.substr(at + 1);
    if (rest.empty()) {
        return 0;
    }
    const auto fold = [ignore_case](char letter) { return ignore_case ? fold_ascii(letter) : letter; };
    const char first = fold(rest[0]);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') {
        return 2;
    }
    if (ignore_case && rest.substr(0, kLongS.size()) == kLongS) {
        return 1 + kLongS.size();
    }
    if (rest.size() < 2) {
        return 0;
    }
    const char second = fold(rest[1]);
    const bool matches = ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
    return matches ? 3 : 0;
}

// Whitespace for \s*[\r\n]+ (where the pattern has it), \s+(?!\S) and \s+, in this order.
Piece whitespace_piece(std::string_view text, size_t begin, bool has_newline_alternative) {
    size_t end = begin;
    size_t last_begin = begin;
    size_t newline_end = begin;
    while (end < text.size()) {
        const Char next = char_at(text, end);
        if (next.char_class != CharClass::kWhitespace) {
            break;
        }
        last_begin = end;
        end += next.num_bytes;
        if (is_newline(next.code_point)) {
            newline_end = end;
        }
    }
    if (has_newline_alternative && newline_end > begin) {
        return {begin, newline_end, Alternative::kNewlines};
    }
    if (end == text.size()) {
        return {begin, end, Alternative::kLeadingSpaces};
    }
    if (last_begin > begin) {
        return {begin, last_begin, Alternative::kLeadingSpaces};
    }
    return {begin, end, Alternative::kSpaces};
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
Piece gpt2_piece(std::string_view text, size_t begin) {
    if (text[begin] == '\'') {
        if (const size_t num_bytes = contraction_bytes(text, begin, false)) {
            return {begin, begin + num_bytes, Alternative::kContraction};
        }
    }
    const size_t run = text[begin] == ' ' && begin + 1 < text.size() ? begin + 1 : begin;
    switch (char_at(text, run).char_class) {
        case CharClass::kLetter:
            return {begin, skip_class(text, run, CharClass::kLetter), Alternative::kLetters};
        case CharClass::kNumber:
            return {begin, skip_class(text, run, CharClass::kNumber), Alternative::kNumbers};
        case CharClass::kOther:
            return {begin, skip_class(text, run, CharClass::kOther), Alternative::kOther};
        case CharClass::kWhitespace:
            break;
    }
    return whitespace_piece(text, begin, false);
}

Piece number_piece(std::string_view text, size_t begin) {
    size_t end = begin;
    for (int digits = 0; digits < 3 && class_at_is(text, end, CharClass::kNumber); ++digits) {
        end += char_at(text, end).num_bytes;
    }
    return {begin, end, Alternative::kNumbers};
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
Piece cl100k_piece(std::string_view text, size_t begin) {
    if (text[begin] == '\'') {
        if (const size_t num_bytes = contraction_bytes(text, begin, true)) {
            return {begin, begin + num_bytes, Alternative::kContraction};
        }
    }
    const Char first = char_at(text, begin);
    if (first.char_class == CharClass::kLetter) {
        return {begin, skip_class(text, begin, CharClass::kLetter), Alternative::kLetters};
    }
    if (first.char_class == CharClass::kNumber) {
        return number_piece(text, begin);
    }
    const size_t second = begin + first.num_bytes;
    if (!is_newline(first.code_point) && class_at_is(text, second, CharClass::kLetter)) {
        return {begin, skip_class(text, second, CharClass::kLetter), Alternative::kLetters};
    }
    const bool is_other = first.char_class == CharClass::kOther;
    if (is_other || (first.code_point == ' ' && class_at_is(text, second, CharClass::kOther))) {
        return {begin, skip_newlines(text, skip_class(text, second, CharClass::kOther)), Alternative::kOther};
    }
    return whitespace_piece(text, begin, true);
}

bool is_ascii_letter(char byte) {
    const char folded = fold_ascii(byte);
    return folded >= 'a' && folded <= 'z';
}

}  // namespace

std::optional<Pattern> pattern_named(std::string_view name) {
    for (const auto& [known, pattern] : kPatternNames) {
        if (known == name) {
            return pattern;
        }
    }
    return std::nullopt;
}

const char* pattern_name(Pattern pattern) {
    return kPatternNames[static_cast<size_t>(pattern)].first.data();
}

bool Scanner::next(Piece& piece) {
    if (at_ == text_.size()) {
        return false;
    }
    switch (pattern_) {
        case Pattern::kGpt2:
            piece = gpt2_piece(text_, at_);
            break;
        case Pattern::kCl100k:
            piece = cl100k_piece(text_, at_);
            break;
        case Pattern::kChar:
            piece = {at_, at_ + char_at(text_, at_).num_bytes, Alternative::kCharacter};
            break;
    }
    at_ = piece.end;
    return true;
}

size_t next_safe_cut(std::string_view text, size_t from) {
    for (size_t at = from > 0 ? from : 1; at < text.size(); ++at) {
        if ((text[at] == ' ' || text[at] == '\n') && is_ascii_letter(text[at - 1])) {
            return at;
        }
    }
    return text.size();
}

}  // namespace textmill::tokenizer
