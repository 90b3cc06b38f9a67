#include "text/word_classes.h"

#include <algorithm>

namespace textmill::text {
namespace {

using tokenizer::CodePointRange;

// Of these, letters stand alone: the blocks of Lao, Khmer and Myanmar, whose scripts have no table (Unicode 16), and
// kana's prolonged and voiced sound marks, which are letters of no script.
constexpr CodePointRange kAloneRanges[] = {{0x0E80, 0x0EFF}, {0x1000, 0x109F}, {0x1780, 0x17FF}, {0xA9E0, 0xA9FF},
                                           {0xAA60, 0xAA7F}, {0x30FC, 0x30FC}, {0xFF70, 0xFF70}, {0xFF9E, 0xFF9F}};
constexpr const char* kAloneScripts[] = {"Han", "Hiragana", "Katakana", "Thai"};

// In static storage, zero (kSymbol) to start with.
WordClassTable table;

void set_alone(const CodePointRange& range) {
    const auto begin = table.begin() + range.first;
    const auto end = table.begin() + range.last + 1;
    std::replace(begin, end, WordClass::kLetter, WordClass::kAlone);
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
    std::for_each(std::begin(kAloneRanges), std::end(kAloneRanges), set_alone);
    for (const char* const script : kAloneScripts) {
        const auto ranges = tokenizer::property_ranges(script);
        std::for_each(ranges.begin(), ranges.end(), set_alone);
    }
    return true;
}

}  // namespace

const WordClassTable& word_classes() {
    static const bool is_filled = fill_table();
    (void)is_filled;
    return table;
}

}  // namespace textmill::text
