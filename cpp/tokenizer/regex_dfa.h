// A regex as a deterministic automaton that finds the very match of a backtracking engine, in one pass.
//
// A state is the list of a backtracking engine's untried branches in the order of their priority; a branch that has
// matched ends the list, since those after it can no longer win. So the last match seen is the one to report. A match
// is seen one character late: lookahead is decided by the next character, and the end of the text is one.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/regex_program.h"
#include "tokenizer/unicode.h"

namespace textmill::tokenizer {

constexpr uint16_t kNoAlternative = 0xFFFF;

// From code points to the classes that a regex tells apart: pages of 256, most of which are shared.
class CharClasses {
  public:
    // Throws RegexError for more than 250 classes.
    explicit CharClasses(const std::vector<std::vector<CodePointRange>>& sets);

    uint8_t of(uint32_t code_point) const { return pages_[page_of_[code_point >> 8]][code_point & 0xFF]; }
    uint8_t of_ascii(uint8_t byte) const { return ascii_[byte]; }
    size_t size() const { return members_.size(); }

    // Whether a class lies inside a set.
    bool is_in(size_t char_class, size_t set) const { return members_[char_class][set]; }

  private:
    std::vector<std::vector<bool>> members_;  // of each class: in which sets it is
    std::array<uint16_t, kNumCodePoints / 256> page_of_{};
    std::vector<std::array<uint8_t, 256>> pages_;
    std::array<uint8_t, 128> ascii_{};
};

class Dfa {
  public:
    using State = uint16_t;
    static constexpr State kDead = 0;
    static constexpr State kStart = 1;

    // Throws RegexError for a regex outside of the subset, or of more than 2,000 states.
    explicit Dfa(std::string_view regex);

    // The state after the character at `at`, which is moved behind it.
    State step(State state, std::string_view text, size_t& at) const {
        const auto byte = static_cast<uint8_t>(text[at]);
        if (byte < 0x80) {
            ++at;
            return next(state, classes_.of_ascii(byte));
        }
        const Char character = char_at(text, at);
        at += character.num_bytes;
        return next(state, classes_.of(character.code_point));
    }

    // The state after the end of the text.
    State finish(State state) const { return next(state, classes_.size()); }

    // The alternative that had matched before the last character (or end) was taken; kNoAlternative for none.
    uint16_t match_before(State state) const { return matches_[state]; }

    // Nothing more can match from here on. Its match_before() still counts.
    bool is_dead(State state) const { return is_dead_[state]; }

    size_t num_states() const { return matches_.size(); }
    uint16_t num_alternatives() const { return num_alternatives_; }

    // Classes of characters, of which there are fewer than 256.
    using ClassSet = std::bitset<256>;
    uint8_t class_of(uint32_t code_point) const { return classes_.of(code_point); }

    // For each class, those before which a match always ends behind a character of it: whatever scan comes by, whatever
    // follows, and the same as if the text ended there.
    std::vector<ClassSet> match_ends() const;

    // The classes that no match holds.
    ClassSet skipped_classes() const;

  private:
    State next(State state, size_t char_class) const { return transitions_[state * num_columns_ + char_class]; }

    uint16_t num_alternatives_;
    CharClasses classes_;
    size_t num_columns_;
    std::vector<State> transitions_;  // a row a state: one column a class, and the last for the end of the text
    std::vector<uint16_t> matches_;
    std::vector<uint8_t> is_dead_;

    friend class DfaBuilder;
    explicit Dfa(const Program& program);
};

}  // namespace textmill::tokenizer
