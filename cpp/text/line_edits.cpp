#include "text/line_edits.h"

#include <algorithm>
#include <array>

#include "text/lines.h"
#include "text/sentences.h"
#include "tokenizer/unicode.h"

namespace textmill::text {
namespace {

using tokenizer::Char;

constexpr std::array<std::string_view, 6> kPolicies{"terms of use", "privacy policy", "cookie policy",
                                                    "uses cookies", "use of cookies", "use cookies"};

bool is_digit(uint32_t code_point) {
    if (code_point < 0x80) {
        return code_point >= '0' && code_point <= '9';
    }
    static const std::vector<tokenizer::CodePointRange> digits = tokenizer::property_ranges("Nd");
    const auto above = std::upper_bound(digits.begin(), digits.end(), code_point,
                                        [](uint32_t c, const auto& range) { return c < range.first; });
    return above != digits.begin() && code_point <= (above - 1)->last;
}

// The bytes of the citation that begins with the "[" at a byte, 0 where it is none.
size_t citation_bytes(std::string_view line, size_t begin) {
    const std::string_view inside = line.substr(begin + 1);
    for (const std::string_view word : {std::string_view("edit]"), std::string_view("citation needed]")}) {
        if (inside.starts_with(word)) {
            return 1 + word.size();
        }
    }
    size_t at = 0;
    while (at < inside.size()) {
        const Char character = tokenizer::char_at(inside, at);
        if (character.code_point == ']') {
            return at + 2;
        }
        if (!is_digit(character.code_point)) {
            return 0;
        }
        at += character.num_bytes;
    }
    return 0;
}

void remove_citations(std::string_view line, std::string& rest) {
    rest.clear();
    size_t begin = 0;
    for (size_t at = line.find('['); at != std::string_view::npos;) {
        const size_t num_bytes = citation_bytes(line, at);
        if (num_bytes > 0) {
            rest += line.substr(begin, at - begin);
            begin = at + num_bytes;
        }
        at = line.find('[', at + std::max<size_t>(num_bytes, 1));
    }
    rest += line.substr(begin);
}

// As str.lower(), so far as phrases of ASCII can tell: the Kelvin sign becomes a k.
void to_lower(std::string_view line, std::string& lower) {
    constexpr std::string_view kKelvin = "\u212A";
    lower.clear();
    for (size_t at = 0; at < line.size();) {
        const size_t kelvin = std::min(line.find(kKelvin, at), line.size());
        lower += line.substr(at, kelvin - at);
        at = kelvin;
        if (at < line.size()) {
            lower.push_back('k');
            at += kKelvin.size();
        }
    }
    for (char& c : lower) {
        c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
}

struct SpacedWords {
    size_t count = 0;
    size_t longest = 0;  // bytes

    // What white space parts.
    explicit SpacedWords(std::string_view line) {
        size_t begin = 0;
        for (size_t at = 0; at < line.size();) {
            const Char character = tokenizer::char_at(line, at);
            if (is_python_space(character.code_point)) {
                add(begin, at);
                begin = at + character.num_bytes;
            }
            at += character.num_bytes;
        }
        add(begin, line.size());
    }

  private:
    void add(size_t begin, size_t end) {
        count += end > begin;
        longest = std::max(longest, end - begin);
    }
};

bool has_longer_word(std::string_view line, size_t max_length) {
    size_t length = 0;
    for (size_t at = 0; at < line.size();) {
        const Char character = tokenizer::char_at(line, at);
        length = is_python_space(character.code_point) ? 0 : length + 1;
        if (length > max_length) {
            return true;
        }
        at += character.num_bytes;
    }
    return false;
}

}  // namespace

// In the order of C4's own code, which tells what a text is dropped for.
LineEditor::Fate LineEditor::judge(std::string_view& line, const LineRules& rules) {
    SpacedWords words(line);
    if (rules.max_word_length > 0 && words.longest > rules.max_word_length &&
        has_longer_word(line, rules.max_word_length)) {
        return Fate::kGoes;
    }
    if (rules.removes_citations && line.find('[') != std::string_view::npos) {
        remove_citations(line, line_);
        line = line_;
        if (rules.count_words_last) {
            words = SpacedWords(line);
        }
    }
    if (!rules.end_marks.empty() &&
        (line.empty() || rules.end_marks.find(line.back()) == std::string::npos || line.ends_with("..."))) {
        return Fate::kGoes;
    }
    if (words.count < rules.min_words) {
        return Fate::kGoes;
    }
    to_lower(line, lower_);
    if (rules.drops_lorem_ipsum && speaks_of("lorem ipsum")) {
        return Fate::kLoremIpsum;
    }
    if (rules.removes_javascript && speaks_of("javascript")) {
        return Fate::kGoes;
    }
    if (rules.drops_curly_brackets && line.find('{') != std::string_view::npos) {
        return Fate::kCurlyBracket;
    }
    const auto is_said = [this](std::string_view phrase) { return speaks_of(phrase); };
    return rules.removes_policies && std::any_of(kPolicies.begin(), kPolicies.end(), is_said) ? Fate::kGoes
                                                                                              : Fate::kStays;
}

LineVerdict LineEditor::edit(std::string_view text, const LineRules& rules, std::string& edited) {
    const size_t begin = edited.size();
    num_sentences_ = 0;
    bool is_first = true;
    auto verdict = LineVerdict::kKept;
    each_line(text, [&](std::string_view line) {
        if (verdict != LineVerdict::kKept) {
            return;
        }
        line = strip(line);
        const Fate fate = judge(line, rules);
        if (fate == Fate::kLoremIpsum) {
            verdict = LineVerdict::kLoremIpsum;
        } else if (fate == Fate::kCurlyBracket) {
            verdict = LineVerdict::kCurlyBracket;
        } else if (fate == Fate::kStays) {
            find_sentence_ends(line, sentence_ends_);
            num_sentences_ += sentence_ends_.size();
            if (!is_first) {
                edited.push_back('\n');
            }
            edited += line;
            is_first = false;
        }
    });
    if (verdict == LineVerdict::kKept && num_sentences_ < rules.min_sentences) {
        verdict = LineVerdict::kTooFewSentences;
    }
    const std::string_view whole = std::string_view(edited).substr(begin);
    const std::string_view left = verdict == LineVerdict::kKept ? strip(whole) : std::string_view();
    const auto num_before = static_cast<size_t>(left.empty() ? 0 : left.data() - whole.data());
    edited.resize(begin + num_before + left.size());
    edited.erase(begin, num_before);
    return verdict;
}

}  // namespace textmill::text
