// The regexes of the named patterns, in the order of textmill.tokenizer.patterns, whose tests hold the two together.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "fuzz/fuzz_input.h"
#include "tokenizer/scanner.h"

namespace textmill::fuzz {

struct NamedPattern {
    const char* name;
    std::vector<std::string> stage_regexes;
};

const std::vector<NamedPattern>& named_patterns();

// The pattern that the next byte of an input stands for, compiled once.
std::shared_ptr<const tokenizer::Splitter> take_pattern(FuzzInput& input);

}  // namespace textmill::fuzz
