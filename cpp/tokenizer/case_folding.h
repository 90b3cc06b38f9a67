// Characters that are equal where case is ignored: one for one, as Unicode's simple case folding has it.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "tokenizer/unicode.h"

namespace textmill::tokenizer {

// Ranges, and what is equal to any character in them where case is ignored: k to K and the Kelvin sign.
std::vector<CodePointRange> folded(std::vector<CodePointRange> ranges);

// Each character that has others equal to it, and the next one of these; the last is followed by the first. Ascending.
std::vector<std::pair<uint32_t, uint32_t>> case_pairs();

}  // namespace textmill::tokenizer
