#include "tokenizer/unicode.h"

#include <algorithm>
#include <iterator>

namespace textmill::tokenizer {
namespace {

#include "tokenizer/unicode_tables.inc"

constexpr Char invalid_byte() {
    return {kInvalidByte, 1, CharClass::kOther};
}

}  // namespace

namespace internal {

const ClassTable class_table;

ClassTable::ClassTable() {
    for (const ClassRange& range : kClassRanges) {
        std::fill(classes.begin() + range.first, classes.begin() + range.last + 1, range.char_class);
    }
}

Char decode_multibyte(std::string_view text, size_t at) {
    const auto lead = static_cast<uint8_t>(text[at]);
    // The second byte of E0, ED, F0 and F4 is limited: overlong forms, surrogates, above U+10FFFF (Unicode 16, table
    // 3-7).
    const uint32_t num_bytes = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (num_bytes == 0 || text.size() - at < num_bytes) {
        return invalid_byte();
    }
    const auto second = static_cast<uint8_t>(text[at + 1]);
    const uint8_t lowest = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    const uint8_t highest = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    if (second < lowest || second > highest) {
        return invalid_byte();
    }
    uint32_t code_point = (lead & (0x7Fu >> num_bytes)) << 6 | (second & 0x3Fu);
    for (size_t i = 2; i < num_bytes; ++i) {
        const auto byte = static_cast<uint8_t>(text[at + i]);
        if ((byte & 0xC0) != 0x80) {
            return invalid_byte();
        }
        code_point = code_point << 6 | (byte & 0x3Fu);
    }
    return {code_point, num_bytes, class_of(code_point)};
}

}  // namespace internal

const char* unicode_version() {
    return kTableVersion;
}

std::vector<ClassRange> class_ranges(CharClass char_class) {
    std::vector<ClassRange> ranges;
    std::copy_if(std::begin(kClassRanges), std::end(kClassRanges), std::back_inserter(ranges),
                 [char_class](const ClassRange& range) { return range.char_class == char_class; });
    return ranges;
}

}  // namespace textmill::tokenizer
