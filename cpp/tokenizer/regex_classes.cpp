#include "tokenizer/regex_classes.h"

#include <string>
#include <utility>

#include "tokenizer/case_folding.h"

namespace textmill::tokenizer {
namespace {

using Ranges = std::vector<CodePointRange>;

Ranges one(uint32_t code_point) {
    return {{code_point, code_point}};
}

Ranges complement_if(bool is_negated, Ranges ranges) {
    return is_negated ? complement(ranges) : ranges;
}

std::string take_property_name(RegexReader& reader) {
    if (reader.take("{")) {
        return std::string(reader.take_until("}", "a property without its }"));
    }
    const auto letter = reader.take_character();
    if (letter >= 0x80) {
        reader.refuse("a property of one letter that is none of ASCII");
    }
    return std::string(1, static_cast<char>(letter));
}

// Case is ignored before the property is negated, as in tiktoken: \P{Lu} is then what has no case.
Ranges parse_property(RegexReader& reader, bool is_negated, bool ignore_case) {
    std::string name = take_property_name(reader);
    if (name.starts_with('^')) {
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
        reader.refuse("the property " + name);
    }
    return complement_if(is_negated, ignore_case ? folded(std::move(ranges)) : std::move(ranges));
}

CodePointRange range_between(const RegexReader& reader, const Ranges& first, const Ranges& last) {
    const bool are_characters =
        first.size() == 1 && first[0].first == first[0].last && last.size() == 1 && last[0].first == last[0].last;
    if (!are_characters || last[0].first < first[0].first) {
        reader.refuse("a range in a class that is not from one character to a later one,");
    }
    return {first[0].first, last[0].first};
}

// The ends of a range are folded with the whole class, after the range is made.
Ranges escape_ranges(RegexReader& reader, bool ignore_case) {
    const size_t begin = reader.place();
    reader.take("\\");
    const uint32_t letter = reader.take_character();
    switch (letter) {
        case 's':
        case 'S':
            return complement_if(letter == 'S', property_ranges("whitespace"));
        case 'd':
        case 'D':
            return complement_if(letter == 'D', property_ranges("Nd"));
        case 'w':
        case 'W':
            return complement_if(letter == 'W', property_ranges("word"));
        case 'p':
        case 'P':
            return parse_property(reader, letter == 'P', ignore_case);
        case 'n':
            return one('\n');
        case 'r':
            return one('\r');
        case 't':
            return one('\t');
        case 'f':
            return one('\f');
        case 'v':
            return one('\v');
        case 'x':
            return one(reader.take("{") ? reader.take_braced_hex() : reader.take_hex(2));
        case 'u':
            return one(reader.take_hex(4));
        default:
            break;
    }
    const bool is_alphanumeric = (letter >= '0' && letter <= '9') || ((letter | 0x20) >= 'a' && (letter | 0x20) <= 'z');
    if (is_alphanumeric || letter >= 0x80) {
        const bool is_backreference = letter >= '1' && letter <= '9';
        reader.refuse_at(begin,
                         is_backreference ? "a backreference" : "the escape " + std::string(reader.since(begin)));
    }
    return one(letter);
}

Ranges parse_class_item(RegexReader& reader, bool ignore_case) {
    if (reader.is_next("[")) {
        reader.refuse("a class inside a class");
    }
    if (reader.is_next("&&") || reader.is_next("--") || reader.is_next("~~") || reader.is_next("||")) {
        reader.refuse("a set operation inside a class");
    }
    if (reader.is_next("\\b")) {
        reader.refuse("the escape \\b in a class");
    }
    return reader.is_next("\\") ? escape_ranges(reader, ignore_case) : one(reader.take_character());
}

}  // namespace

Ranges parse_escape(RegexReader& reader, bool ignore_case) {
    const bool is_property = reader.is_next("\\p") || reader.is_next("\\P");
    Ranges ranges = escape_ranges(reader, ignore_case);
    return ignore_case && !is_property ? folded(std::move(ranges)) : ranges;
}

Ranges parse_class(RegexReader& reader, bool ignore_case) {
    const bool is_negated = reader.take("^");
    Ranges ranges;
    do {
        const Ranges first = parse_class_item(reader, ignore_case);
        const bool is_range = reader.is_next("-") && !reader.is_next("-]");
        if (is_range) {
            reader.take("-");
            ranges.push_back(range_between(reader, first, parse_class_item(reader, ignore_case)));
        } else {
            ranges.insert(ranges.end(), first.begin(), first.end());
        }
    } while (!reader.take("]"));
    ranges = ignore_case ? folded(std::move(ranges)) : united(std::move(ranges));
    return complement_if(is_negated, std::move(ranges));
}

}  // namespace textmill::tokenizer
