// A regex as a list of instructions (Thompson's construction), in which the order of branches is their priority.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/regex_syntax.h"

namespace textmill::tokenizer {

enum class Operation : uint8_t {
    kSet,        // takes a character of set `argument`, then `next`
    kLookahead,  // goes on at `next` if the next character is of set `argument`, or the text ends and `at_end` holds
    kSplit,      // tries `next`, then `argument`
    kMatch,      // alternative `argument` has matched
};

struct Instruction {
    Operation operation;
    bool at_end = false;
    uint32_t argument = 0;
    uint32_t next = 0;
};

struct Program {
    std::vector<Instruction> instructions;
    std::vector<std::vector<CodePointRange>> sets;
    uint32_t start = 0;
    uint16_t num_alternatives = 0;
};

// Throws RegexError for what cannot be parsed, or is too long: 5,000 instructions, 250 different sets, 1,000
// alternatives.
Program compile_regex(std::string_view regex);

}  // namespace textmill::tokenizer
