#include "tokenizer/regex_syntax.h"

#include <algorithm>
#include <utility>

namespace textmill::tokenizer {
namespace {

using Ranges = std::vector<CodePointRange>;

constexpr size_t kMaxRegexBytes = size_t{1} << 16;
constexpr unsigned kMaxDepth = 64;
constexpr uint32_t kMaxRepeats = 1000;
constexpr uint32_t kLongS = 0x17F;
constexpr uint32_t kKelvinSign = 0x212A;

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

// ASCII letters to all that is equal to them where case is ignored: K to k and the Kelvin sign, s to S and the long s.
Ranges folded(const Ranges& ranges) {
    Ranges result = ranges;
    for (const CodePointRange& range : ranges) {
        for (uint32_t code = range.first; code <= std::min<uint32_t>(range.last, 'z'); ++code) {
            const uint32_t lower = code | 0x20;
            if (lower < 'a' || lower > 'z' || code < 'A') {
                continue;
            }
            result.insert(result.end(), {{lower, lower}, {lower - 0x20, lower - 0x20}});
            if (lower == 's') {
                result.push_back({kLongS, kLongS});
            }
            if (lower == 'k') {
                result.push_back({kKelvinSign, kKelvinSign});
            }
        }
    }
    return united(std::move(result));
}

class Parser {
  public:
    explicit Parser(std::string_view regex) : regex_(regex) {
        if (regex.size() > kMaxRegexBytes) {
            throw RegexError("a regex of " + std::to_string(regex.size()) + " bytes, and the most is " +
                             std::to_string(kMaxRegexBytes));
        }
    }

    std::vector<Node> parse() {
        std::vector<Node> alternatives = parse_alternatives(false);
        if (!at_end()) {
            refuse("an unbalanced )");
        }
        return alternatives;
    }

  private:
    [[noreturn]] void refuse(const std::string& what) const {
        throw RegexError(what + " at byte " + std::to_string(at_) + " of the regex");
    }

    bool at_end() const { return at_ == regex_.size(); }
    bool is_next(std::string_view text) const { return regex_.substr(at_, text.size()) == text; }

    bool take(std::string_view text) {
        if (!is_next(text)) {
            return false;
        }
        at_ += text.size();
        return true;
    }

    uint32_t take_character() {
        if (at_end()) {
            refuse("an end in the middle of something");
        }
        const Char next = char_at(regex_, at_);
        if (next.code_point == kInvalidByte) {
            refuse("a byte that is not UTF-8");
        }
        at_ += next.num_bytes;
        return next.code_point;
    }

    std::vector<Node> parse_alternatives(bool ignore_case) {
        if (++depth_ > kMaxDepth) {
            refuse("groups nested more than " + std::to_string(kMaxDepth) + " deep");
        }
        std::vector<Node> alternatives;
        do {
            alternatives.push_back(parse_sequence(ignore_case));
        } while (take("|"));
        --depth_;
        return alternatives;
    }

    Node parse_sequence(bool& ignore_case) {
        std::vector<Node> parts;
        while (!at_end() && !is_next("|") && !is_next(")")) {
            if (take("(?i)")) {
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
        const bool is_lazy = take("?");
        const bool is_possessive = !is_lazy && take("+");
        if (most > 1 && can_be_empty(node)) {
            refuse("a repetition of what can match nothing");
        }
        if (is_next("*") || is_next("+") || is_next("?") || is_next("{")) {
            refuse("a quantifier of a quantifier");
        }
        return is_possessive ? possessive(std::move(node), least, most)
                             : repeat_of(std::move(node), least, most, is_lazy);
    }

    bool take_quantifier(uint32_t& least, uint32_t& most) {
        if (take("*")) {
            least = 0, most = kUnbounded;
        } else if (take("+")) {
            least = 1, most = kUnbounded;
        } else if (take("?")) {
            least = 0, most = 1;
        } else if (take("{")) {
            take_bounds(least, most);
        } else {
            return false;
        }
        return true;
    }

    void take_bounds(uint32_t& least, uint32_t& most) {
        least = take_number();
        most = least;
        if (take(",")) {
            most = is_next("}") ? kUnbounded : take_number();
        }
        if (!take("}")) {
            refuse("a { that is no quantifier such as {1,3}");
        }
        if (most < least) {
            refuse("a quantifier from " + std::to_string(least) + " to " + std::to_string(most));
        }
    }

    uint32_t take_number() {
        uint32_t number = 0;
        const size_t begin = at_;
        while (!at_end() && regex_[at_] >= '0' && regex_[at_] <= '9') {
            number = number * 10 + static_cast<uint32_t>(regex_[at_++] - '0');
            if (number > kMaxRepeats) {
                refuse("a quantifier above " + std::to_string(kMaxRepeats));
            }
        }
        if (at_ == begin) {
            refuse("a { that is no quantifier such as {1,3}");
        }
        return number;
    }

    // A run of one class that gives nothing back is a run that the class does not follow, unless it is at its longest.
    Node possessive(Node node, uint32_t least, uint32_t most) const {
        if (node.kind != NodeKind::kSet) {
            refuse("a possessive quantifier of more than one character");
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
        if (take("(")) {
            return parse_group(ignore_case);
        }
        if (take("[")) {
            return set_of(parse_class(ignore_case));
        }
        if (take(".")) {
            return set_of(complement({{'\n', '\n'}}));
        }
        if (take("$")) {
            return lookahead_of({}, true);
        }
        if (is_next("^")) {
            refuse("an anchor ^, which looks behind,");
        }
        if (is_next("*") || is_next("+") || is_next("?") || is_next("{")) {
            refuse("a quantifier of nothing");
        }
        if (take("\\z")) {
            return lookahead_of({}, true);
        }
        if (is_next("\\")) {
            Ranges ranges = parse_escape(ignore_case);
            return set_of(std::move(ranges));
        }
        return set_of(literal(take_character(), ignore_case));
    }

    Node parse_group(bool ignore_case) {
        if (take("?=")) {
            return parse_lookahead(ignore_case, false);
        }
        if (take("?!")) {
            return parse_lookahead(ignore_case, true);
        }
        if (is_next("?<=") || is_next("?<!")) {
            refuse("a lookbehind");
        }
        if (take("?>")) {
            return parse_atomic(ignore_case);
        }
        if (take("?i:")) {
            ignore_case = true;
        } else if (take("?-i:")) {
            ignore_case = false;
        } else if (!take("?:") && is_next("?")) {
            refuse("a group of the kind (" + std::string(regex_.substr(at_, 2)) + ")");
        }
        Node node = node_of(NodeKind::kAlternation, parse_alternatives(ignore_case));
        if (!take(")")) {
            refuse("a group without its )");
        }
        return node;
    }

    Node parse_atomic(bool ignore_case) {
        Node node = node_of(NodeKind::kAlternation, parse_alternatives(ignore_case));
        if (!take(")")) {
            refuse("a group without its )");
        }
        if (node.kind != NodeKind::kRepeat || node.is_lazy) {
            refuse("an atomic group of more than one character and its quantifier");
        }
        return possessive(std::move(node.children[0]), node.least, node.most);
    }

    Node parse_lookahead(bool ignore_case, bool is_negated) {
        Ranges ranges;
        bool at_end_of_text = false;
        for (const Node& node : parse_alternatives(ignore_case)) {
            const bool is_end = node.kind == NodeKind::kLookahead && node.ranges.empty() && node.at_end;
            if (node.kind != NodeKind::kSet && !is_end) {
                refuse("a lookahead of more than one character");
            }
            ranges.insert(ranges.end(), node.ranges.begin(), node.ranges.end());
            at_end_of_text = at_end_of_text || is_end;
        }
        if (!take(")")) {
            refuse("a group without its )");
        }
        ranges = united(std::move(ranges));
        return is_negated ? lookahead_of(complement(ranges), !at_end_of_text)
                          : lookahead_of(std::move(ranges), at_end_of_text);
    }

    Ranges literal(uint32_t code_point, bool ignore_case) const {
        if (!ignore_case) {
            return {{code_point, code_point}};
        }
        if (code_point >= 0x80) {
            refuse("a letter outside of ASCII where case is ignored,");
        }
        return folded({{code_point, code_point}});
    }

    // The ranges of an escape; a single one of a single code point is a literal.
    Ranges parse_escape(bool ignore_case) {
        const size_t begin = at_;
        ++at_;
        const uint32_t letter = take_character();
        switch (letter) {
            case 's':
                return property_ranges("whitespace");
            case 'S':
                return complement(property_ranges("whitespace"));
            case 'd':
                return property_ranges("Nd");
            case 'D':
                return complement(property_ranges("Nd"));
            case 'w':
                return property_ranges("word");
            case 'W':
                return complement(property_ranges("word"));
            case 'p':
            case 'P':
                if (ignore_case) {
                    refuse("a property where case is ignored,");
                }
                return parse_property(letter == 'P');
            case 'n':
                return {{'\n', '\n'}};
            case 'r':
                return {{'\r', '\r'}};
            case 't':
                return {{'\t', '\t'}};
            case 'f':
                return {{'\f', '\f'}};
            case 'v':
                return {{'\v', '\v'}};
            case 'x':
                return literal(take("{") ? take_braced_hex() : take_hex(2), ignore_case);
            case 'u':
                return literal(take_hex(4), ignore_case);
            default:
                break;
        }
        const bool is_alphanumeric =
            (letter >= '0' && letter <= '9') || ((letter | 0x20) >= 'a' && (letter | 0x20) <= 'z');
        if (is_alphanumeric || letter >= 0x80) {
            at_ = begin;
            refuse(letter >= '1' && letter <= '9' ? "a backreference"
                                                  : "the escape " + std::string(regex_.substr(begin, 2)));
        }
        return {{letter, letter}};
    }

    uint32_t take_hex(unsigned num_digits) {
        uint32_t value = 0;
        for (unsigned i = 0; i < num_digits; ++i) {
            value = value * 16 + take_hex_digit();
        }
        return checked(value);
    }

    uint32_t take_braced_hex() {
        uint32_t value = 0;
        do {
            value = value * 16 + take_hex_digit();
            if (value >= kNumCodePoints) {
                refuse("a code point above U+10FFFF");
            }
        } while (!take("}"));
        return checked(value);
    }

    uint32_t take_hex_digit() {
        const uint32_t digit = take_character();
        if (digit >= '0' && digit <= '9') {
            return digit - '0';
        }
        const uint32_t lower = digit | 0x20;
        if (lower < 'a' || lower > 'f') {
            refuse("an escape that is not hexadecimal");
        }
        return lower - 'a' + 10;
    }

    uint32_t checked(uint32_t code_point) const {
        if (code_point >= 0xD800 && code_point <= 0xDFFF) {
            refuse("a surrogate, which no text holds,");
        }
        return code_point;
    }

    Ranges parse_property(bool is_negated) {
        std::string name;
        if (take("{")) {
            const size_t end = regex_.find('}', at_);
            if (end == std::string_view::npos) {
                refuse("a property without its }");
            }
            name = regex_.substr(at_, end - at_);
            at_ = end + 1;
        } else {
            name = std::string(1, static_cast<char>(take_character()));
        }
        if (!name.empty() && name[0] == '^') {
            is_negated = !is_negated;
            name.erase(0, 1);
        }
        for (const std::string_view prefix : {"Script=", "sc=", "gc=", "General_Category="}) {
            if (name.starts_with(prefix)) {
                name.erase(0, prefix.size());
            }
        }
        Ranges ranges = property_ranges(name);
        if (ranges.empty() || name == "whitespace" || name == "word") {
            refuse("the property " + name);
        }
        return is_negated ? complement(ranges) : ranges;
    }

    Ranges parse_class(bool ignore_case) {
        const bool is_negated = take("^");
        Ranges ranges;
        bool is_first = true;
        while (is_first || !is_next("]")) {
            is_first = false;
            if (is_next("[")) {
                refuse("a class inside a class");
            }
            if (is_next("&&") || is_next("--") || is_next("~~") || is_next("||")) {
                refuse("a set operation inside a class");
            }
            const Ranges first = parse_class_item(ignore_case);
            const bool is_range = is_next("-") && !is_next("-]");
            if (!is_range) {
                ranges.insert(ranges.end(), first.begin(), first.end());
                continue;
            }
            take("-");
            ranges.push_back(range_between(first, parse_class_item(ignore_case)));
        }
        take("]");
        ranges = united(std::move(ranges));
        if (ignore_case) {
            if (!ranges.empty() && ranges.back().last >= 0x80) {
                refuse("a class of more than ASCII where case is ignored,");
            }
            ranges = folded(ranges);
        }
        return is_negated ? complement(ranges) : ranges;
    }

    // What is folded is folded with its class, after ranges are made.
    Ranges parse_class_item(bool ignore_case) {
        if (is_next("\\")) {
            if (is_next("\\b")) {
                refuse("the escape \\b in a class");
            }
            Ranges ranges = parse_escape(false);
            if (ignore_case && ranges.back().last >= 0x80) {
                refuse("a class of more than ASCII where case is ignored,");
            }
            return ranges;
        }
        const uint32_t character = take_character();
        return {{character, character}};
    }

    CodePointRange range_between(const Ranges& first, const Ranges& last) const {
        const bool are_characters =
            first.size() == 1 && first[0].first == first[0].last && last.size() == 1 && last[0].first == last[0].last;
        if (!are_characters || last[0].first < first[0].first) {
            refuse("a range in a class that is not from one character to a later one,");
        }
        return {first[0].first, last[0].first};
    }

    std::string_view regex_;
    size_t at_ = 0;
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
