#include "text/words.h"

#include <algorithm>
#include <array>
#include <limits>
#include <stdexcept>
#include <string>

#include "text/ascii_runs.h"
#include "text/scripts_without_spaces.h"

namespace textmill::text {
namespace {

using tokenizer::Char;
using tokenizer::CodePointRange;

constexpr uint32_t kApostrophe = 0x2019;  // ’

// Kana's prolonged and voiced sound marks: letters of no script.
constexpr CodePointRange kKanaMarks[] = {{0x30FC, 0x30FC}, {0xFF70, 0xFF70}, {0xFF9E, 0xFF9F}};

using ClassTable = std::array<WordClass, tokenizer::kNumCodePoints>;
// In static storage, zero (kSymbol) to start with.
ClassTable table;

void set_alone(const CodePointRange& range) {
    for (uint32_t code_point = range.first; code_point <= range.last; ++code_point) {
        if (table[code_point] == WordClass::kLetter) {
            table[code_point] = WordClass::kAlone;
        }
    }
}

bool fill_table() {
    const auto set = [](const char* property, WordClass word_class) {
        for (const CodePointRange& range : tokenizer::property_ranges(property)) {
            std::fill(table.begin() + range.first, table.begin() + range.last + 1, word_class);
        }
    };
    set("L", WordClass::kLetter);
    set("N", WordClass::kNumber);
    set("M", WordClass::kMark);
    set("Cf", WordClass::kMark);
    set("whitespace", WordClass::kSpace);
    for (const CodePointRange& range : scripts_without_spaces()) {
        set_alone(range);
    }
    std::for_each(std::begin(kKanaMarks), std::end(kKanaMarks), set_alone);
    return true;
}

const ClassTable& word_classes() {
    static const bool is_filled = fill_table();
    (void)is_filled;
    return table;
}

// Goes through one text.
class WordReader {
  public:
    explicit WordReader(std::string_view text) : text_(text), runs_(text), classes_(word_classes()) {}

    // The word that begins at a character that is no white space.
    WordSpan read(size_t begin) {
        const size_t end = runs_.end_of_run(begin);
        if (end > begin && (end == text_.size() || ends_run(end))) [[likely]] {
            return {to32(begin), to32(end), has_ascii_letter(begin, end), false};
        }
        if (end == begin && is_lone_symbol(begin)) {
            return {to32(begin), to32(begin + 1), false, true};
        }
        const Char first = tokenizer::char_at(text_, begin);
        const size_t at = begin + first.num_bytes;
        switch (class_of(first)) {
            case WordClass::kSymbol:
                return {to32(begin), to32(skip_marks(skip_same(at, first.code_point))), false, true};
            case WordClass::kAlone:
                return {to32(begin), to32(skip_marks(at)), true, false};
            default:
                return read_run(begin);
        }
    }

    // The next byte from `at` on that begins a word.
    size_t skip_spaces(size_t at) const {
        if (at + 1 < text_.size() && text_[at] == ' ' && static_cast<uint8_t>(text_[at + 1]) > ' ' &&
            static_cast<uint8_t>(text_[at + 1]) < 0x80) [[likely]] {
            return at + 1;
        }
        while (at < text_.size()) {
            const Char character = tokenizer::char_at(text_, at);
            if (class_of(character) != WordClass::kSpace) {
                break;
            }
            at += character.num_bytes;
        }
        return at;
    }

  private:
    static uint32_t to32(size_t at) { return static_cast<uint32_t>(at); }

    // Whether a run of ASCII ends a word where this byte follows, whatever comes then.
    bool ends_run(size_t at) const {
        const auto byte = static_cast<uint8_t>(text_[at]);
        if (byte == '.' || byte == ',') {
            return text_[at - 1] > '9' || class_at(at + 1) != WordClass::kNumber;
        }
        return byte < 0x80 && byte != '\'' && byte != '-';
    }

    // Whether a symbol of ASCII stands before another character of ASCII.
    bool is_lone_symbol(size_t at) const {
        const auto byte = static_cast<uint8_t>(text_[at]);
        const auto next = static_cast<uint8_t>(at + 1 < text_.size() ? text_[at + 1] : ' ');
        return byte < 0x80 && next < 0x80 && byte != next;
    }

    bool has_ascii_letter(size_t begin, size_t end) const {
        return text_[begin] > '9' ||
               std::any_of(text_.begin() + begin, text_.begin() + end, [](char c) { return c > '9'; });
    }

    WordClass class_of(const Char& character) const { return classes_[character.code_point]; }

    WordClass class_at(size_t at) const {
        return at < text_.size() ? class_of(tokenizer::char_at(text_, at)) : WordClass::kSpace;
    }

    size_t skip_same(size_t at, uint32_t code_point) const {
        while (at < text_.size()) {
            const Char character = tokenizer::char_at(text_, at);
            if (character.code_point != code_point) {
                break;
            }
            at += character.num_bytes;
        }
        return at;
    }

    size_t skip_marks(size_t at) const {
        while (at < text_.size()) {
            const Char character = tokenizer::char_at(text_, at);
            if (class_of(character) != WordClass::kMark) {
                break;
            }
            at += character.num_bytes;
        }
        return at;
    }

    // A run of letters, numbers and marks, with what joins them.
    WordSpan read_run(size_t begin) const {
        size_t at = begin;
        bool has_letter = false;
        WordClass last = WordClass::kMark;
        while (at < text_.size()) {
            const Char character = tokenizer::char_at(text_, at);
            const WordClass now = class_of(character);
            if (now == WordClass::kLetter || now == WordClass::kNumber || now == WordClass::kMark) {
                has_letter |= now == WordClass::kLetter;
                last = now;
            } else if (now != WordClass::kSymbol || !joins(character, last, class_at(at + character.num_bytes))) {
                break;
            }
            at += character.num_bytes;
        }
        return {to32(begin), to32(at), has_letter, false};
    }

    static bool joins(const Char& character, WordClass before, WordClass after) {
        switch (character.code_point) {
            case '\'':
            case '-':
            case kApostrophe:
                return after == WordClass::kLetter || after == WordClass::kNumber;
            case '.':
            case ',':
                return before == WordClass::kNumber && after == WordClass::kNumber;
            default:
                return false;
        }
    }

    std::string_view text_;
    AsciiRuns runs_;
    const ClassTable& classes_;
};

}  // namespace

WordClass word_class_of(uint32_t code_point) {
    return word_classes()[code_point];
}

void split_words(std::string_view text, std::vector<WordSpan>& words) {
    if (text.size() > std::numeric_limits<uint32_t>::max()) {
        throw std::length_error("a text has " + std::to_string(text.size()) + " bytes; words are found in up to 4 GiB");
    }
    words.clear();
    WordReader reader(text);
    for (size_t at = reader.skip_spaces(0); at < text.size(); at = reader.skip_spaces(words.back().end)) {
        words.push_back(reader.read(at));
    }
}

}  // namespace textmill::text
