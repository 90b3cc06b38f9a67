#include "text/sentences.h"

#include <algorithm>
#include <array>

#include "text/lines.h"
#include "tokenizer/unicode.h"

namespace textmill::text {
namespace {

using tokenizer::Char;
using tokenizer::CharClass;

constexpr std::array<std::string_view, 27> kAbbreviations{
    "Mr", "Mrs", "Ms", "Dr", "Prof", "Rev", "Gen", "Sen", "Rep", "Gov", "Capt", "Lt",     "Col", "Sgt",
    "St", "Mt",  "Jr", "Sr", "vs",   "etc", "Fig", "No",  "Vol", "pp",  "ca",   "approx", "cf"};

enum class Mark : uint8_t { kNone, kSpaced, kAlone };

Mark mark_of(uint32_t code_point) {
    switch (code_point) {
        case '.':
        case '?':
        case '!':
        case 0x2026:  // …
            return Mark::kSpaced;
        case 0x3002:  // 。
        case 0xFF01:  // ！
        case 0xFF1F:  // ？
            return Mark::kAlone;
        default:
            return Mark::kNone;
    }
}

bool closes(uint32_t code_point) {
    constexpr std::array<uint32_t, 10> kClosing{'"', '\'', ')', ']', '}', 0x2019, 0x201D, 0xBB, 0x300D, 0xFF09};
    return std::find(kClosing.begin(), kClosing.end(), code_point) != kClosing.end();
}

bool is_letter(char byte) {
    return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z');
}

// Whether the letters of ASCII right before a "." are an abbreviation, or a single one.
bool is_abbreviation(std::string_view before) {
    size_t begin = before.size();
    while (begin > 0 && is_letter(before[begin - 1])) {
        --begin;
    }
    const std::string_view word = before.substr(begin);
    if (begin > 0 && (static_cast<uint8_t>(before[begin - 1]) >= 0x80)) {
        return false;
    }
    return word.size() == 1 || std::find(kAbbreviations.begin(), kAbbreviations.end(), word) != kAbbreviations.end();
}

// A small letter of ASCII, Latin-1, Greek or Cyrillic.
bool is_small(uint32_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 0xDF && c <= 0xFF && c != 0xF7) || (c >= 0x3B1 && c <= 0x3C9) ||
           (c >= 0x430 && c <= 0x45F);
}

// Whether what follows a mark lets a sentence end there.
bool begins_anew(std::string_view behind) {
    const std::string_view next = strip_left(behind);
    if (next.empty()) {
        return true;
    }
    return next.size() < behind.size() && !is_small(tokenizer::char_at(next, 0).code_point);
}

}  // namespace

void find_sentence_ends(std::string_view text, std::vector<uint32_t>& ends) {
    ends.clear();
    size_t begin = 0;
    for (size_t at = 0; at < text.size();) {
        Char character = tokenizer::char_at(text, at);
        Mark mark = mark_of(character.code_point);
        if (mark == Mark::kNone) {
            at += character.num_bytes;
            continue;
        }
        const size_t first = at;
        bool is_alone = false;
        size_t num_marks = 0;
        for (; mark != Mark::kNone;
             mark = at < text.size() ? mark_of(tokenizer::char_at(text, at).code_point) : Mark::kNone) {
            is_alone |= mark == Mark::kAlone;
            at += tokenizer::char_at(text, at).num_bytes;
            ++num_marks;
        }
        const bool is_single_dot = num_marks == 1 && text[first] == '.';
        while (at < text.size() && closes(tokenizer::char_at(text, at).code_point)) {
            at += tokenizer::char_at(text, at).num_bytes;
        }
        const bool is_end = is_alone || begins_anew(text.substr(at));
        if (is_end &&
            !(is_single_dot && is_abbreviation(text.substr(0, first)) && !strip_left(text.substr(at)).empty())) {
            ends.push_back(static_cast<uint32_t>(at));
            begin = at;
        }
    }
    if (!strip_left(text.substr(begin)).empty()) {
        ends.push_back(static_cast<uint32_t>(text.size()));
    }
}

}  // namespace textmill::text
