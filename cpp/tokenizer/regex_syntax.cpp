#include "tokenizer/regex_syntax.h"

#include <algorithm>
#include <utility>

#include "tokenizer/case_folding.h"
#include "tokenizer/regex_classes.h"
#include "tokenizer/regex_reader.h"

namespace textmill::tokenizer {
namespace {

using Ranges = std::vector<CodePointRange>;

constexpr unsigned kMaxDepth = 64;
constexpr uint32_t kMaxRepeats = 1000;

Node set_of(Ranges ranges) {
    Node node;
    node.kind = NodeKind::kSet;
    node.ranges = std::move(ranges);
    return node;
}

Node lookahead_of(Ranges ranges, bool at_end) {
    Node node = set_of(std::move(ranges));
    node.kind = NodeKind::kLookahead;
    node.at_end = at_end;
    return node;
}

Node node_of(NodeKind kind, std::vector<Node> children) {
    if (children.size() == 1) {
        return std::move(children[0]);
    }
    Node node;
    node.kind = children.empty() ? NodeKind::kEmpty : kind;
    node.children = std::move(children);
    return node;
}

Node repeat_of(Node child, uint32_t least, uint32_t most, bool is_lazy) {
    Node node;
    node.kind = NodeKind::kRepeat;
    node.children.push_back(std::move(child));
    node.least = least;
    node.most = most;
    node.is_lazy = is_lazy;
    return node;
}

class Parser {
  public:
    explicit Parser(std::string_view regex) : reader_(regex) {}

    std::vector<Node> parse() {
        std::vector<Node> alternatives = parse_alternatives(false);
        if (!reader_.at_end()) {
            reader_.refuse("an unbalanced )");
        }
        return alternatives;
    }

  private:
    std::vector<Node> parse_alternatives(bool ignore_case) {
        if (++depth_ > kMaxDepth) {
            reader_.refuse("groups nested more than " + std::to_string(kMaxDepth) + " deep");
        }
        std::vector<Node> alternatives;
        do {
            alternatives.push_back(parse_sequence(ignore_case));
        } while (reader_.take("|"));
        --depth_;
        return alternatives;
    }

    Node parse_sequence(bool& ignore_case) {
        std::vector<Node> parts;
        while (!reader_.at_end() && !reader_.is_next("|") && !reader_.is_next(")")) {
            if (reader_.take("(?i)")) {
                ignore_case = true;
                continue;
            }
            parts.push_back(parse_quantified(ignore_case));
        }
        return node_of(NodeKind::kSequence, std::move(parts));
    }

    Node parse_quantified(bool ignore_case) {
        Node node = parse_atom(ignore_case);
        uint32_t least = 0;
        uint32_t most = 0;
        if (!take_quantifier(least, most)) {
            return node;
        }
        const bool is_lazy = reader_.take("?");
        const bool is_possessive = !is_lazy && reader_.take("+");
        if (most > 1 && can_be_empty(node)) {
            reader_.refuse("a repetition of what can match nothing");
        }
        if (reader_.is_quantifier_next()) {
            reader_.refuse("a quantifier of a quantifier");
        }
        return is_possessive ? possessive(std::move(node), least, most)
                             : repeat_of(std::move(node), least, most, is_lazy);
    }

    bool take_quantifier(uint32_t& least, uint32_t& most) {
        if (reader_.take("*")) {
            least = 0, most = kUnbounded;
        } else if (reader_.take("+")) {
            least = 1, most = kUnbounded;
        } else if (reader_.take("?")) {
            least = 0, most = 1;
        } else if (reader_.take("{")) {
            take_bounds(least, most);
        } else {
            return false;
        }
        return true;
    }

    void take_bounds(uint32_t& least, uint32_t& most) {
        least = reader_.take_number(kMaxRepeats);
        most = least;
        if (reader_.take(",")) {
            most = reader_.is_next("}") ? kUnbounded : reader_.take_number(kMaxRepeats);
        }
        if (!reader_.take("}")) {
            reader_.refuse("a { that is no quantifier such as {1,3}");
        }
        if (most < least) {
            reader_.refuse("a quantifier from " + std::to_string(least) + " to " + std::to_string(most));
        }
    }

    // A run of one class that gives nothing back is a run that the class does not follow, unless it is at its longest.
    Node possessive(Node node, uint32_t least, uint32_t most) const {
        if (node.kind != NodeKind::kSet) {
            reader_.refuse("a possessive quantifier of more than one character");
        }
        const Node not_more = lookahead_of(complement(node.ranges), true);
        if (most == kUnbounded) {
            return node_of(NodeKind::kSequence, {repeat_of(std::move(node), least, most, false), not_more});
        }
        if (most == least) {
            return repeat_of(std::move(node), least, most, false);
        }
        Node shorter = node_of(NodeKind::kSequence, {repeat_of(node, least, most - 1, false), not_more});
        return node_of(NodeKind::kAlternation, {repeat_of(std::move(node), most, most, false), std::move(shorter)});
    }

    Node parse_atom(bool ignore_case) {
        if (reader_.take("(")) {
            return parse_group(ignore_case);
        }
        if (reader_.take("[")) {
            return set_of(parse_class(reader_, ignore_case));
        }
        if (reader_.take(".")) {
            return set_of(complement({{'\n', '\n'}}));
        }
        if (reader_.take("$")) {
            return lookahead_of({}, true);
        }
        if (reader_.is_next("^")) {
            reader_.refuse("an anchor ^, which looks behind,");
        }
        if (reader_.is_quantifier_next()) {
            reader_.refuse("a quantifier of nothing");
        }
        if (reader_.take("\\z")) {
            return lookahead_of({}, true);
        }
        if (reader_.is_next("\\")) {
            return set_of(parse_escape(reader_, ignore_case));
        }
        const uint32_t character = reader_.take_character();
        Ranges ranges = {{character, character}};
        return set_of(ignore_case ? folded(std::move(ranges)) : std::move(ranges));
    }

    Node parse_group(bool ignore_case) {
        if (reader_.take("?=")) {
            return parse_lookahead(ignore_case, false);
        }
        if (reader_.take("?!")) {
            return parse_lookahead(ignore_case, true);
        }
        if (reader_.is_next("?<=") || reader_.is_next("?<!")) {
            reader_.refuse("a lookbehind");
        }
        if (reader_.take("?>")) {
            return parse_atomic(ignore_case);
        }
        if (reader_.take("?i:")) {
            ignore_case = true;
        } else if (reader_.take("?-i:")) {
            ignore_case = false;
        } else if (!reader_.take("?:") && reader_.is_next("?")) {
            reader_.refuse("a group of the kind (" + std::string(reader_.ahead(2)) + ")");
        }
        Node node = node_of(NodeKind::kAlternation, parse_alternatives(ignore_case));
        if (!reader_.take(")")) {
            reader_.refuse("a group without its )");
        }
        return node;
    }

    Node parse_atomic(bool ignore_case) {
        Node node = node_of(NodeKind::kAlternation, parse_alternatives(ignore_case));
        if (!reader_.take(")")) {
            reader_.refuse("a group without its )");
        }
        if (node.kind != NodeKind::kRepeat || node.is_lazy) {
            reader_.refuse("an atomic group of more than one character and its quantifier");
        }
        return possessive(std::move(node.children[0]), node.least, node.most);
    }

    Node parse_lookahead(bool ignore_case, bool is_negated) {
        Ranges ranges;
        bool at_end_of_text = false;
        for (const Node& node : parse_alternatives(ignore_case)) {
            const bool is_end = node.kind == NodeKind::kLookahead && node.ranges.empty() && node.at_end;
            if (node.kind != NodeKind::kSet && !is_end) {
                reader_.refuse("a lookahead of more than one character");
            }
            ranges.insert(ranges.end(), node.ranges.begin(), node.ranges.end());
            at_end_of_text = at_end_of_text || is_end;
        }
        if (!reader_.take(")")) {
            reader_.refuse("a group without its )");
        }
        ranges = united(std::move(ranges));
        return is_negated ? lookahead_of(complement(ranges), !at_end_of_text)
                          : lookahead_of(std::move(ranges), at_end_of_text);
    }

    RegexReader reader_;
    unsigned depth_ = 0;
};

}  // namespace

std::vector<Node> parse_regex(std::string_view regex) {
    return Parser(regex).parse();
}

bool can_be_empty(const Node& node) {
    const auto any = [](const std::vector<Node>& nodes) {
        return std::any_of(nodes.begin(), nodes.end(), can_be_empty);
    };
    switch (node.kind) {
        case NodeKind::kSet:
            return false;
        case NodeKind::kSequence:
            return std::all_of(node.children.begin(), node.children.end(), can_be_empty);
        case NodeKind::kAlternation:
            return any(node.children);
        case NodeKind::kRepeat:
            return node.least == 0 || any(node.children);
        case NodeKind::kEmpty:
        case NodeKind::kLookahead:
            break;
    }
    return true;
}

}  // namespace textmill::tokenizer
