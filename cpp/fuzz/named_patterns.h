// The regexes of the named patterns, in the order of textmill.tokenizer.patterns, whose tests hold the two together.
#pragma once

#include <string>
#include <vector>

namespace textmill::fuzz {

struct NamedPattern {
    const char* name;
    std::vector<std::string> stage_regexes;
};

const std::vector<NamedPattern>& named_patterns();

}  // namespace textmill::fuzz
