#include "text/sentences.h"

#include <algorithm>
#include <array>

#include "text/lines.h"
#include "tokenizer/unicode.h"

namespace textmill::text {
namespace {

using tokenizer::Char;

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

// A run of marks, and what closes behind it.
struct EndMarks {
    size_t end;
    bool is_alone = false;  // one of them ends a sentence in any case
    bool is_dot;            // it is a single .

    EndMarks(std::string_view text, size_t begin) : end(begin) {
        size_t num_marks = 0;
        for (; end < text.size(); ++num_marks) {
            const Char character = tokenizer::char_at(text, end);
            const Mark mark = mark_of(character.code_point);
            if (mark == Mark::kNone) {
                break;
            }
            is_alone |= mark == Mark::kAlone;
            end += character.num_bytes;
        }
        is_dot = num_marks == 1 && text[begin] == '.';
        while (end < text.size() && closes(tokenizer::char_at(text, end).code_point)) {
            end += tokenizer::char_at(text, end).num_bytes;
        }
    }
};

bool is_end(std::string_view text, size_t begin, const EndMarks& marks) {
    const std::string_view behind = text.substr(marks.end);
    const std::string_view next = strip_left(behind);
    if (next.empty() || marks.is_alone) {
        return true;
    }
    if (next.size() == behind.size() || is_small(tokenizer::char_at(next, 0).code_point)) {
        return false;
    }
    return !(marks.is_dot && is_abbreviation(text.substr(0, begin)));
}

}  // namespace

void find_sentence_ends(std::string_view text, std::vector<uint32_t>& ends) {
    ends.clear();
    size_t begin = 0;
    for (size_t at = 0; at < text.size();) {
        const Char character = tokenizer::char_at(text, at);
        if (mark_of(character.code_point) == Mark::kNone) {
            at += character.num_bytes;
            continue;
        }
        const EndMarks marks(text, at);
        if (is_end(text, at, marks)) {
            begin = marks.end;
            ends.push_back(static_cast<uint32_t>(begin));
        }
        at = marks.end;
    }
    if (!strip_left(text.substr(begin)).empty()) {
        ends.push_back(static_cast<uint32_t>(text.size()));
    }
}

}  // namespace textmill::text
