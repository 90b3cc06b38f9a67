// Where a text can be cut so that its parts, split by themselves, have the pieces of the whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/regex_dfa.h"

namespace textmill::tokenizer {

// Proved of the automata of a pattern: for each class of characters, before which classes a piece always ends, and the
// same piece as if the text ended there.
class SafeCuts {
  public:
    // Stages in their order; the automaton must outlive this.
    void add_stage(const Dfa& dfa);

    // Whether there is a pair of characters that can be cut apart.
    bool is_any() const { return is_any_; }

    // Whether a text can be cut between two characters.
    bool is_safe(uint32_t before, uint32_t after) const;

  private:
    struct Stage {
        const Dfa* dfa;
        std::vector<Dfa::ClassSet> ends;  // of each class: those before which a match ends
        Dfa::ClassSet skipped;            // classes that no match holds
    };

    std::vector<Stage> stages_;
    bool is_any_ = false;
};

// The first place at or after `from`, but not the text's begin, where the pattern can be cut; the text's size where
// there is none.
size_t next_safe_cut(const SafeCuts& cuts, std::string_view text, size_t from);

// The last place inside the text where all of the patterns can be cut; 0 where there is none. `ascii_only`: between two
// ASCII characters, which Unicode's normal forms leave as they are.
size_t last_safe_cut(std::span<const SafeCuts* const> patterns, std::string_view text, bool ascii_only);

}  // namespace textmill::tokenizer
