#include "tokenizer/longest_match.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace textmill::tokenizer {
namespace {

uint8_t byte_from_end(std::string_view text, size_t depth) {
    return static_cast<uint8_t>(text[text.size() - 1 - depth]);
}

std::vector<uint32_t> sorted_by_ends(std::span<const std::string_view> patterns) {
    std::vector<uint32_t> order(patterns.size());
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
        return std::lexicographical_compare(
            patterns[a].rbegin(), patterns[a].rend(), patterns[b].rbegin(), patterns[b].rend(),
            [](char x, char y) { return static_cast<uint8_t>(x) < static_cast<uint8_t>(y); });
    });
    return order;
}

size_t check_sizes(std::span<const std::string_view> patterns) {
    size_t num_bytes = 0;
    size_t longest = 0;
    for (const std::string_view pattern : patterns) {
        if (pattern.empty() || pattern.size() > LongestMatch::kMaxPatternBytes) {
            throw std::invalid_argument("an added token has " + std::to_string(pattern.size()) +
                                        " bytes, and must have 1 to " + std::to_string(LongestMatch::kMaxPatternBytes));
        }
        num_bytes += pattern.size();
        longest = std::max(longest, pattern.size());
    }
    if (num_bytes > LongestMatch::kMaxBytes) {
        throw std::invalid_argument("the added tokens have " + std::to_string(num_bytes) + " bytes, and may have " +
                                    std::to_string(LongestMatch::kMaxBytes) + " in all");
    }
    return longest;
}

}  // namespace

LongestMatch::LongestMatch(std::span<const std::string_view> patterns) : max_pattern_bytes_(check_sizes(patterns)) {
    build_tree(patterns);
    link_suffixes();
}

// Patterns that share an end stand in a row once sorted: a state is a range of them, and a depth.
void LongestMatch::build_tree(std::span<const std::string_view> patterns) {
    struct Range {
        uint32_t begin;
        uint32_t end;
    };
    const std::vector<uint32_t> order = sorted_by_ends(patterns);
    std::vector<Range> level = {{0, static_cast<uint32_t>(order.size())}};
    label_.push_back(0);
    for (size_t depth = 0; !level.empty(); ++depth) {
        std::vector<Range> next_level;
        for (const Range& range : level) {
            first_child_.push_back(static_cast<State>(label_.size()));
            uint32_t at = range.begin;
            const bool ends_here = depth > 0 && patterns[order[at]].size() == depth;
            longest_.push_back(ends_here ? order[at++] + 1 : 0);
            if (ends_here && at < range.end && patterns[order[at]].size() == depth) {
                throw std::invalid_argument("two added tokens have the same text");
            }
            while (at < range.end) {
                const uint32_t begin = at;
                const uint8_t byte = byte_from_end(patterns[order[begin]], depth);
                while (at < range.end && byte_from_end(patterns[order[at]], depth) == byte) {
                    ++at;
                }
                label_.push_back(byte);
                next_level.push_back({begin, at});
            }
        }
        level = std::move(next_level);
    }
    first_child_.push_back(static_cast<State>(label_.size()));
}

void LongestMatch::link_suffixes() {
    suffix_.assign(label_.size(), kRoot);
    for (State state = first_child_[kRoot]; state < first_child_[kRoot + 1]; ++state) {
        from_root_[label_[state]] = state;
    }
    for (State state = kRoot; state < label_.size(); ++state) {
        for (State longer = first_child_[state]; longer < first_child_[state + 1]; ++longer) {
            suffix_[longer] = state == kRoot ? kRoot : next(suffix_[state], label_[longer]);
            if (longest_[longer] == 0) {
                longest_[longer] = longest_[suffix_[longer]];
            }
        }
    }
}

LongestMatch::State LongestMatch::child(State state, uint8_t byte) const {
    const uint8_t* const begin = label_.data() + first_child_[state];
    const uint8_t* const end = label_.data() + first_child_[state + 1];
    const uint8_t* const found = std::lower_bound(begin, end, byte);
    return found != end && *found == byte ? static_cast<State>(found - label_.data()) : kRoot;
}

LongestMatch::State LongestMatch::next(State state, uint8_t byte) const {
    while (state != kRoot) {
        if (const State longer = child(state, byte); longer != kRoot) {
            return longer;
        }
        state = suffix_[state];
    }
    return from_root_[byte];
}

void LongestMatch::find(std::string_view text, size_t begin, size_t end, std::vector<Match>& matches) const {
    const size_t overhang = std::min(text.size() - end, max_pattern_bytes_ - 1);
    State state = kRoot;
    for (size_t at = end + overhang; at > begin;) {
        --at;
        state = next(state, static_cast<uint8_t>(text[at]));
        if (longest_[state] != 0 && at < end) {
            matches.push_back({at, longest_[state] - 1});
        }
    }
}

}  // namespace textmill::tokenizer
