// The syntax tree of a regex, and the parser that makes it of text.
//
// The subset is what a DFA can match exactly as a backtracking engine would: literals, classes, groups, alternation,
// greedy, lazy and (for one character) possessive quantifiers, and lookahead of one character or of the end. What lies
// outside is refused by name.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/regex_reader.h"
#include "tokenizer/unicode.h"

namespace textmill::tokenizer {

enum class NodeKind : uint8_t {
    kEmpty,
    kSet,          // one character of `ranges`
    kLookahead,    // the next character is of `ranges`, or the text ends and `at_end` holds; takes nothing
    kSequence,     // all of `children`, one after the other
    kAlternation,  // the first of `children` that matches
    kRepeat,       // children[0], `least` to `most` times
};

constexpr uint32_t kUnbounded = 0xFFFFFFFF;

struct Node {
    NodeKind kind = NodeKind::kEmpty;
    std::vector<CodePointRange> ranges;
    std::vector<Node> children;
    bool at_end = false;
    bool is_lazy = false;
    uint32_t least = 0;
    uint32_t most = 0;
};

// The alternatives of a regex: what stands between the | that are in no group. At least one. Throws RegexError.
std::vector<Node> parse_regex(std::string_view regex);

// Whether a node can match without taking a character.
bool can_be_empty(const Node& node);

}  // namespace textmill::tokenizer
