// Which of many patterns stands at each place of a text, in time that grows with the text alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace textmill::tokenizer {

// An Aho-Corasick automaton of the patterns read backwards. It reads the text backwards too, and so it knows at each
// place the longest pattern that begins there, however long the others are that might have.
class LongestMatch {
  public:
    static constexpr size_t kMaxPatternBytes = size_t{1} << 16;
    static constexpr size_t kMaxBytes = size_t{1} << 26;  // of all patterns; a byte takes 13 bytes here

    struct Match {
        size_t begin;
        uint32_t pattern;  // its place among the patterns
    };

    // Throws std::invalid_argument for a pattern that is empty, double or too long, and for too much in all.
    explicit LongestMatch(std::span<const std::string_view> patterns);

    size_t max_pattern_bytes() const { return max_pattern_bytes_; }

    // Appends the longest pattern at each place from `begin` to `end` that has one, the last place first.
    void find(std::string_view text, size_t begin, size_t end, std::vector<Match>& matches) const;

  private:
    using State = uint32_t;
    static constexpr State kRoot = 0;

    void build_tree(std::span<const std::string_view> patterns);
    void link_suffixes();
    State child(State state, uint8_t byte) const;
    State next(State state, uint8_t byte) const;

    // States are numbered in the order of their depths, so that the children of a state stand in a row.
    std::vector<State> first_child_;
    std::vector<uint8_t> label_;
    std::vector<State> suffix_;      // the state of the longest suffix of what was read
    std::vector<uint32_t> longest_;  // one more than the pattern that ends in a state; 0 for none
    std::array<State, 256> from_root_{};
    size_t max_pattern_bytes_ = 0;
};

}  // namespace textmill::tokenizer
