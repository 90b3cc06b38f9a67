// Characters of any byte string: UTF-8 decoding that never fails, and the classes that the split patterns speak of.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace textmill::tokenizer {

enum class CharClass : uint8_t {
    kOther = 0,       // marks, punctuation, symbols, controls, unassigned, and bytes that are not UTF-8
    kLetter = 1,      // \p{L}
    kNumber = 2,      // \p{N}: also Roman numerals, fractions and superscripts
    kWhitespace = 3,  // \s: exactly 25 code points
};

struct CodePointRange {
    uint32_t first;  // both ends are inside
    uint32_t last;
    bool operator==(const CodePointRange&) const = default;
};

struct Char {
    uint32_t code_point;  // kInvalidByte for a byte that is not part of a valid sequence
    uint32_t num_bytes;
};

constexpr uint32_t kNumCodePoints = 0x110000;
// Stands for each byte that is not part of a valid sequence: a surrogate, as in Python's surrogateescape.
constexpr uint32_t kInvalidByte = 0xDC80;

// The Unicode version of the tables, as in "16.0.0".
const char* unicode_version();

// The code points of a property, ranges in ascending order that do not touch: a general category (Lu) or a group of
// them (L), a script (Han), "whitespace" or "word" (\w). Empty where there is no such property. Surrogates, which no
// valid UTF-8 holds, have no property at all.
std::vector<CodePointRange> property_ranges(std::string_view name);

// Ranges in any order to ascending ones that do not touch; and what such ranges leave out of all code points.
std::vector<CodePointRange> united(std::vector<CodePointRange> ranges);
std::vector<CodePointRange> complement(const std::vector<CodePointRange>& ranges);

namespace internal {
// One byte a code point, in static storage: zero (kOther) to start with, so most of the 1.1 MB is never touched.
struct ClassTable {
    ClassTable();
    std::array<CharClass, kNumCodePoints> classes;
};
extern const ClassTable class_table;
Char decode_multibyte(std::string_view text, size_t at);
}  // namespace internal

inline CharClass class_of(uint32_t code_point) {
    return internal::class_table.classes[code_point];
}

// The character that starts at a byte. A byte that is not part of a valid UTF-8 sequence (overlong forms, surrogates
// and code points above U+10FFFF are not valid) is a character without properties by itself.
inline Char char_at(std::string_view text, size_t at) {
    const auto byte = static_cast<uint8_t>(text[at]);
    if (byte < 0x80) {
        return {byte, 1};
    }
    return internal::decode_multibyte(text, at);
}

}  // namespace textmill::tokenizer
