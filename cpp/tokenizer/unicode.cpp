#include "tokenizer/unicode.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace textmill::tokenizer {
namespace {

struct PropertyRange {
    uint32_t first;
    uint32_t last;
    uint8_t property;
};

#include "tokenizer/unicode_tables.inc"

CharClass class_of_property(std::string_view name) {
    if (name == "whitespace") {
        return CharClass::kWhitespace;
    }
    const bool is_category = name.size() == 2;
    return is_category && name[0] == 'L'   ? CharClass::kLetter
           : is_category && name[0] == 'N' ? CharClass::kNumber
                                           : CharClass::kOther;
}

constexpr Char invalid_byte() {
    return {kInvalidByte, 1};
}

}  // namespace

namespace internal {

const ClassTable class_table;

ClassTable::ClassTable() {
    for (const PropertyRange& range : kPropertyRanges) {
        const CharClass char_class = class_of_property(kPropertyNames[range.property]);
        if (char_class != CharClass::kOther) {
            std::fill(classes.begin() + range.first, classes.begin() + range.last + 1, char_class);
        }
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
    return {code_point, num_bytes};
}

}  // namespace internal

const char* unicode_version() {
    return kTableVersion;
}

std::vector<CodePointRange> property_ranges(std::string_view name) {
    std::vector<CodePointRange> ranges;
    for (const PropertyRange& range : kPropertyRanges) {
        const std::string_view property = kPropertyNames[range.property];
        const bool is_in_group = name.size() == 1 && property.size() == 2 && property[0] == name[0];
        if (property == name || is_in_group) {
            ranges.push_back({range.first, range.last});
        }
    }
    return united(std::move(ranges));
}

std::vector<CodePointRange> united(std::vector<CodePointRange> ranges) {
    std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<CodePointRange> result;
    for (const CodePointRange& range : ranges) {
        if (!result.empty() && range.first <= result.back().last + 1) {
            result.back().last = std::max(result.back().last, range.last);
        } else {
            result.push_back(range);
        }
    }
    return result;
}

std::vector<CodePointRange> complement(const std::vector<CodePointRange>& ranges) {
    std::vector<CodePointRange> result;
    uint32_t next = 0;
    for (const CodePointRange& range : ranges) {
        if (range.first > next) {
            result.push_back({next, range.first - 1});
        }
        next = range.last + 1;
    }
    if (next < kNumCodePoints) {
        result.push_back({next, kNumCodePoints - 1});
    }
    return result;
}

}  // namespace textmill::tokenizer
