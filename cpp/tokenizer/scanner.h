// Splitting text into pieces by any pattern: one regex, or several of which each splits the pieces of the one before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "tokenizer/regex_dfa.h"
#include "tokenizer/safe_cuts.h"
#include "tokenizer/windows.h"

namespace textmill::tokenizer {

struct Piece {
    size_t begin;
    size_t end;
    // Which alternative matched, counted over the alternatives of all stages; of several stages that matched, the last
    // one's. kNoAlternative for a gap: text between two matches, which is a piece too.
    uint16_t alternative;
};

// A compiled pattern. Immutable; any thread may use it.
class Splitter {
  public:
    // Splits a text; the pieces must tile it.
    using Function = std::function<void(std::string_view, std::vector<Piece>&)>;

    // Throws RegexError for a regex that the DFA cannot match exactly.
    explicit Splitter(std::vector<std::string> stage_regexes);

    // For what a DFA cannot match: `function` splits.
    Splitter(std::vector<std::string> stage_regexes, Function function);

    // Not copied: the safe cuts point into the stages.
    Splitter(Splitter&&) = default;

    const std::vector<std::string>& stage_regexes() const { return stage_regexes_; }

    // What splits in place of the automata; empty where they do.
    const Function& function() const { return function_; }

    // Where texts can be cut without changing a piece: proved of the automata, whatever the pattern.
    const SafeCuts& safe_cuts() const { return safe_cuts_; }

    // How masks find the pieces of this pattern, and the function that does; see windows.h.
    const WindowRule& window_rule() const { return window_rule_; }
    FindEnds find_ends() const { return find_ends_; }

  private:
    friend class Scanner;

    struct Stage {
        Dfa dfa;
        uint16_t first_alternative;
    };

    std::vector<std::string> stage_regexes_;
    std::vector<Stage> stages_;
    Function function_;
    SafeCuts safe_cuts_;
    WindowRule window_rule_;
    FindEnds find_ends_ = nullptr;
};

// Finds the matches of one automaton in a text and the gaps between them. Linear in the text: where a scan ran on past
// the end of its match, it remembers the states that led nowhere, so that no later scan follows them again
// (T. Reps, "Maximal-munch tokenization in linear time", TOPLAS 1998).
class StageScanner {
  public:
    explicit StageScanner(const Dfa& dfa) : dfa_(&dfa) {}

    void restart(std::string_view text);

    // The next match or gap, its places inside the text; false at the end.
    bool next(Piece& piece);

  private:
    struct Match {
        size_t end;
        uint16_t alternative;
    };
    struct Checkpoint {
        size_t at;
        Dfa::State state;
        uint64_t key() const { return uint64_t{at} << 16 | state; }
    };

    Match match_at(size_t begin);
    void remember_failures(size_t match_end);
    void skip_character() { at_ += char_at(text_, at_).num_bytes; }

    const Dfa* dfa_;
    std::string_view text_;
    size_t at_ = 0;
    std::vector<Checkpoint> trail_;
    std::unordered_set<uint64_t> failed_;
};

// Walks over a text piece by piece. The pieces tile the text: nothing is dropped. The splitter and the text must
// outlive the scanner.
class Scanner {
  public:
    Scanner(const Splitter& splitter, std::string_view text);

    // Moves to the next piece; false at the end of the text.
    bool next(Piece& piece);

    // As many of the next pieces as there is room for; 0 at the end of the text.
    size_t fill(std::span<Piece> pieces);

  private:
    // A stage at work on one piece of the stage before it.
    struct Level {
        StageScanner scanner;
        size_t begin = 0;                       // of that piece
        uint16_t alternative = kNoAlternative;  // that made it
    };

    bool next_of_level(size_t level, Piece& piece);

    const Splitter& splitter_;
    std::string_view text_;
    std::vector<Level> levels_;
    size_t level_ = 0;
    std::vector<Piece> made_;  // by the splitter's function
    size_t num_taken_ = 0;
};

}  // namespace textmill::tokenizer
