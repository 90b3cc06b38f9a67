#include "tokenizer/safe_cuts.h"

#include <algorithm>

namespace textmill::tokenizer {
namespace {

constexpr size_t kMaxCharBytes = 4;

struct Neighbours {
    uint32_t before = kInvalidByte;
    uint32_t after = kInvalidByte;

    bool are_valid() const { return before != kInvalidByte && after != kInvalidByte; }
    bool are_ascii() const { return before < 0x80 && after < 0x80; }
};

bool is_continuation(char byte) {
    return (static_cast<uint8_t>(byte) & 0xC0) == 0x80;
}

// The characters on both sides of a place; not valid inside a character, or beside what is not UTF-8.
Neighbours neighbours_at(std::string_view text, size_t at) {
    if (is_continuation(text[at])) {
        return {};
    }
    size_t begin = at - 1;
    while (begin > 0 && at - begin < kMaxCharBytes && is_continuation(text[begin])) {
        --begin;
    }
    const Char before = char_at(text, begin);
    return begin + before.num_bytes == at ? Neighbours{before.code_point, char_at(text, at).code_point} : Neighbours{};
}

}  // namespace

void SafeCuts::add_stage(const Dfa& dfa) {
    stages_.push_back({&dfa, dfa.match_ends(), dfa.skipped_classes()});
    const auto has_any = [](const Dfa::ClassSet& classes) { return classes.any(); };
    is_any_ = is_any_ || std::any_of(stages_.back().ends.begin(), stages_.back().ends.end(), has_any);
}

// A stage whose matches never hold the character before hands it on in longer or shorter gaps, depending on the cut;
// from the first stage on that ends a piece at the cut, it makes no difference.
bool SafeCuts::is_safe(uint32_t before, uint32_t after) const {
    for (const Stage& stage : stages_) {
        const uint8_t class_before = stage.dfa->class_of(before);
        if (stage.ends[class_before][stage.dfa->class_of(after)]) {
            return true;
        }
        if (!stage.skipped[class_before]) {
            return false;
        }
    }
    return false;
}

size_t next_safe_cut(const SafeCuts& cuts, std::string_view text, size_t from) {
    if (!cuts.is_any()) {
        return text.size();
    }
    for (size_t at = from > 0 ? from : 1; at < text.size(); ++at) {
        const Neighbours characters = neighbours_at(text, at);
        if (characters.are_valid() && cuts.is_safe(characters.before, characters.after)) {
            return at;
        }
    }
    return text.size();
}

size_t last_safe_cut(std::span<const SafeCuts* const> patterns, std::string_view text, bool ascii_only) {
    if (text.empty() || patterns.empty()) {
        return 0;
    }
    for (size_t at = text.size() - 1; at > 0; --at) {
        const Neighbours characters = neighbours_at(text, at);
        const auto can_cut = [&](const SafeCuts* cuts) { return cuts->is_safe(characters.before, characters.after); };
        if (characters.are_valid() && (!ascii_only || characters.are_ascii()) &&
            std::all_of(patterns.begin(), patterns.end(), can_cut)) {
            return at;
        }
    }
    return 0;
}

}  // namespace textmill::tokenizer
