#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <utility>

#include "tokenizer/unicode.h"

namespace textmill::tokenizer {
namespace {

// Matches are found in blocks of a text, the last place of a block first.
constexpr size_t kBlockBytes = size_t{1} << 18;
static_assert(kBlockBytes >= LongestMatch::kMaxPatternBytes);  // or a block would be read many times

// \w of Rust's regex crate, which looks at the ends of added tokens. It differs from the \w that splits text in
// fractions and superscripts of Latin-1 and in the two joiners.
bool is_word(uint32_t code_point) {
    static const std::vector<CodePointRange> ranges = property_ranges("word");
    switch (code_point) {
        case 0xB2:
        case 0xB3:
        case 0xB9:
        case 0xBC:
        case 0xBD:
        case 0xBE:
            return false;
        case 0x200C:
        case 0x200D:
            return true;
        default:
            break;
    }
    const auto after = std::upper_bound(ranges.begin(), ranges.end(), code_point,
                                        [](uint32_t code, const CodePointRange& range) { return code < range.first; });
    return after != ranges.begin() && code_point <= std::prev(after)->last;
}

// The character that ends at a byte after the first.
Char char_before(std::string_view text, size_t end) {
    for (size_t num_bytes = 1; num_bytes <= std::min<size_t>(end, 4); ++num_bytes) {
        const Char found = char_at(text.substr(0, end), end - num_bytes);
        if (found.num_bytes == num_bytes && found.code_point != kInvalidByte) {
            return found;
        }
    }
    return {kInvalidByte, 1};
}

bool is_whitespace(Char character) {
    return class_of(character.code_point) == CharClass::kWhitespace;
}

size_t whitespace_begin(std::string_view text, size_t end, size_t least) {
    while (end > least && is_whitespace(char_before(text.substr(least), end - least))) {
        end -= char_before(text.substr(least), end - least).num_bytes;
    }
    return end;
}

size_t whitespace_end(std::string_view text, size_t at) {
    while (at < text.size() && is_whitespace(char_at(text, at))) {
        at += char_at(text, at).num_bytes;
    }
    return at;
}

bool stands_alone(std::string_view text, size_t begin, size_t end) {
    return (begin == 0 || !is_word(char_before(text, begin).code_point)) &&
           (end == text.size() || !is_word(char_at(text, end).code_point));
}

// The parts of a text, made of its matches from left to right.
class Cutter {
  public:
    explicit Cutter(std::string_view text) : text_(text) {}

    void add(size_t begin, size_t end, const AddedToken& token) {
        if (token.is_single_word && !stands_alone(text_, begin, end)) {
            return;
        }
        const size_t first = token.strips_left ? std::max(whitespace_begin(text_, begin, at_), at_) : begin;
        if (at_ < first) {
            parts_.push_back({at_, first, AddedTokens::kOrdinary});
        }
        at_ = token.strips_right ? end_of_whitespace(end) : end;
        parts_.push_back({std::min(first, at_), at_, token.id});  // it may stand in what the one before took in
    }

    std::vector<AddedTokens::Part> finish() && {
        if (at_ < text_.size()) {
            parts_.push_back({at_, text_.size(), AddedTokens::kOrdinary});
        }
        return std::move(parts_);
    }

  private:
    // Many tokens may stand in one run of whitespace, each of which takes in the rest of it: its end is looked for
    // once.
    size_t end_of_whitespace(size_t at) {
        if (at < run_begin_ || at > run_end_) {
            run_begin_ = at;
            run_end_ = whitespace_end(text_, at);
        }
        return run_end_;
    }

    const std::string_view text_;
    std::vector<AddedTokens::Part> parts_;
    size_t at_ = 0;
    size_t run_begin_ = 1;  // no run yet
    size_t run_end_ = 0;
};

std::vector<size_t> sizes(std::span<const std::string_view> texts) {
    std::vector<size_t> num_bytes;
    for (const std::string_view text : texts) {
        num_bytes.push_back(text.size());
    }
    return num_bytes;
}

}  // namespace

AddedTokens::AddedTokens(std::span<const std::string_view> texts, std::vector<AddedToken> tokens)
    : longest_(texts), tokens_(std::move(tokens)), num_bytes_(sizes(texts)) {}

std::vector<AddedTokens::Part> AddedTokens::split(std::string_view text) const {
    Cutter cutter(text);
    std::vector<LongestMatch::Match> matches;
    size_t at = 0;  // where the next token may begin
    for (size_t block = 0; block < text.size(); block += kBlockBytes) {
        const size_t block_end = std::min(text.size(), block + kBlockBytes);
        if (at >= block_end) {
            continue;
        }
        matches.clear();
        longest_.find(text, std::max(at, block), block_end, matches);
        for (auto match = matches.rbegin(); match != matches.rend(); ++match) {
            if (match->begin >= at) {
                at = match->begin + num_bytes_[match->pattern];
                cutter.add(match->begin, at, tokens_[match->pattern]);
            }
        }
    }
    return std::move(cutter).finish();
}

}  // namespace textmill::tokenizer
