// Scripts that put no spaces between words: each of their letters is a word by itself.
#pragma once

#include <vector>

#include "tokenizer/unicode.h"

namespace textmill::text {

// Han, Hiragana, Katakana, Thai, and the blocks of Lao, Khmer and Myanmar, whose scripts have no table (Unicode 16).
inline std::vector<tokenizer::CodePointRange> scripts_without_spaces() {
    std::vector<tokenizer::CodePointRange> ranges{
        {0x0E80, 0x0EFF}, {0x1000, 0x109F}, {0x1780, 0x17FF}, {0xA9E0, 0xA9FF}, {0xAA60, 0xAA7F}};
    for (const char* const script : {"Han", "Hiragana", "Katakana", "Thai"}) {
        for (const tokenizer::CodePointRange& range : tokenizer::property_ranges(script)) {
            ranges.push_back(range);
        }
    }
    return ranges;
}

}  // namespace textmill::text
