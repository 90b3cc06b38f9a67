#include "tokenizer/regex_dfa.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace textmill::tokenizer {

namespace {

constexpr size_t kMaxClasses = 250;
constexpr size_t kMaxStates = 2'000;
constexpr size_t kMaxBranches = 50'000'000;  // looked at in all, about a second

}  // namespace

CharClasses::CharClasses(const std::vector<std::vector<CodePointRange>>& sets) {
    // Where any set begins or ends: between two such places, all code points are of one class.
    std::vector<std::pair<uint32_t, size_t>> changes;
    for (size_t set = 0; set < sets.size(); ++set) {
        for (const CodePointRange& range : sets[set]) {
            changes.insert(changes.end(), {{range.first, set}, {range.last + 1, set}});
        }
    }
    std::sort(changes.begin(), changes.end());
    std::map<std::vector<bool>, uint8_t> known;
    std::vector<bool> membership(sets.size());
    std::vector<uint8_t> class_of_code_point(kNumCodePoints);
    size_t next_change = 0;
    for (uint32_t code = 0; code < kNumCodePoints;) {
        for (; next_change < changes.size() && changes[next_change].first == code; ++next_change) {
            membership[changes[next_change].second].flip();
        }
        const auto [entry, is_new] = known.try_emplace(membership, static_cast<uint8_t>(members_.size()));
        if (is_new) {
            members_.push_back(membership);
            if (members_.size() > kMaxClasses) {
                throw RegexError("a regex that tells more than " + std::to_string(kMaxClasses) +
                                 " classes of characters apart");
            }
        }
        const uint32_t end = next_change < changes.size() ? changes[next_change].first : kNumCodePoints;
        std::fill(class_of_code_point.begin() + code, class_of_code_point.begin() + end, entry->second);
        code = end;
    }
    std::map<std::array<uint8_t, 256>, uint16_t> known_pages;
    for (size_t page = 0; page < page_of_.size(); ++page) {
        std::array<uint8_t, 256> content{};
        std::copy_n(class_of_code_point.begin() + static_cast<std::ptrdiff_t>(page * 256), 256, content.begin());
        const auto [entry, is_new] = known_pages.try_emplace(content, static_cast<uint16_t>(pages_.size()));
        if (is_new) {
            pages_.push_back(content);
        }
        page_of_[page] = entry->second;
    }
    std::copy_n(class_of_code_point.begin(), ascii_.size(), ascii_.begin());
}

// Makes states of lists of instructions, each list once.
class DfaBuilder {
  public:
    DfaBuilder(Dfa& dfa, const Program& program)
        : dfa_(dfa), program_(program), seen_(program.instructions.size()), seen_now_(program.instructions.size()) {}

    void build() {
        state_of(kNoAlternative, {});
        begin_list();
        follow(program_.start);
        state_of(kNoAlternative, list_);
        for (size_t state = 0; state < lists_.size(); ++state) {
            for (size_t char_class = 0; char_class < dfa_.num_columns_; ++char_class) {
                // The list of lists grows, so that its element is copied.
                const Dfa::State target = take(std::vector<uint32_t>(lists_[state]), char_class);
                dfa_.transitions_.push_back(target);
            }
        }
    }

  private:
    using List = std::vector<uint32_t>;

    // Appends what an instruction leads to without taking a character. After a match nothing can win.
    void follow(uint32_t first) {
        stack_.assign(1, first);
        while (!stack_.empty() && !is_closed_) {
            const uint32_t at = stack_.back();
            stack_.pop_back();
            if (seen_[at] == round_) {
                continue;
            }
            seen_[at] = round_;
            const Instruction& instruction = program_.instructions[at];
            if (instruction.operation == Operation::kSplit) {
                stack_.push_back(instruction.argument);
                stack_.push_back(instruction.next);
                continue;
            }
            list_.push_back(at);
            is_closed_ = instruction.operation == Operation::kMatch;
        }
    }

    void begin_list() {
        list_.clear();
        is_closed_ = false;
        ++round_;
    }

    bool is_in(size_t char_class, uint32_t set) const {
        return char_class < dfa_.classes_.size() && dfa_.classes_.is_in(char_class, set);
    }

    // The state after a character of a class, the last class being the end of the text.
    Dfa::State take(const List& branches, size_t char_class) {
        begin_list();
        uint16_t match = kNoAlternative;
        List untried(branches.rbegin(), branches.rend());
        num_branches_ += branches.size();
        if (num_branches_ > kMaxBranches) {
            throw RegexError("a regex that takes too long to compile");
        }
        while (!untried.empty() && match == kNoAlternative && !is_closed_) {
            const uint32_t at = untried.back();
            untried.pop_back();
            const Instruction& instruction = program_.instructions[at];
            switch (instruction.operation) {
                case Operation::kSet:
                    if (is_in(char_class, instruction.argument)) {
                        follow(instruction.next);
                    }
                    break;
                case Operation::kLookahead:
                    if (seen_now_[at] != round_ && holds(instruction, char_class)) {
                        look_through(instruction.next, untried);
                    }
                    seen_now_[at] = round_;
                    break;
                case Operation::kMatch:
                    match = static_cast<uint16_t>(instruction.argument);
                    break;
                case Operation::kSplit:
                    break;
            }
        }
        return state_of(match, list_);
    }

    bool holds(const Instruction& instruction, size_t char_class) const {
        return char_class == dfa_.classes_.size() ? instruction.at_end : is_in(char_class, instruction.argument);
    }

    // What stands behind a lookahead that holds is tried next, before the other branches.
    void look_through(uint32_t first, List& untried) {
        num_branches_ += program_.instructions.size();
        List found;
        std::vector<bool> seen(program_.instructions.size());
        List stack = {first};
        while (!stack.empty()) {
            const uint32_t at = stack.back();
            stack.pop_back();
            if (seen[at]) {
                continue;
            }
            seen[at] = true;
            const Instruction& instruction = program_.instructions[at];
            if (instruction.operation == Operation::kSplit) {
                stack.push_back(instruction.argument);
                stack.push_back(instruction.next);
            } else {
                found.push_back(at);
            }
        }
        untried.insert(untried.end(), found.rbegin(), found.rend());
    }

    Dfa::State state_of(uint16_t match, const List& list) {
        List key = list;
        key.push_back(match);
        const auto [entry, is_new] = states_.try_emplace(std::move(key), static_cast<Dfa::State>(lists_.size()));
        if (!is_new) {
            return entry->second;
        }
        if (lists_.size() == kMaxStates) {
            throw RegexError("a regex that needs more than " + std::to_string(kMaxStates) + " states");
        }
        lists_.push_back(list);
        dfa_.matches_.push_back(match);
        dfa_.is_dead_.push_back(list.empty());
        return entry->second;
    }

    Dfa& dfa_;
    const Program& program_;
    std::map<List, Dfa::State> states_;
    std::vector<List> lists_;
    List list_;
    List stack_;
    bool is_closed_ = false;
    size_t num_branches_ = 0;
    uint32_t round_ = 0;
    std::vector<uint32_t> seen_;      // the round in which an instruction was followed
    std::vector<uint32_t> seen_now_;  // the round in which a lookahead was decided
};

Dfa::Dfa(std::string_view regex) : Dfa(compile_regex(regex)) {}

Dfa::Dfa(const Program& program)
    : num_alternatives_(program.num_alternatives), classes_(program.sets), num_columns_(classes_.size() + 1) {
    DfaBuilder(*this, program).build();
}

// A scan that takes the character ends behind it or, where it fails there, before it; and one that begins at the
// character ends behind it. So whatever scan comes by, a piece ends there in the end.
std::vector<Dfa::ClassSet> Dfa::match_ends() const {
    std::vector<ClassSet> ends_alike(num_states());  // of each state: classes at which it ends as at the text's end
    for (size_t state = 0; state < num_states(); ++state) {
        const uint16_t match = match_before(finish(static_cast<State>(state)));
        for (size_t char_class = 0; char_class < classes_.size(); ++char_class) {
            const State after = next(static_cast<State>(state), char_class);
            ends_alike[state][char_class] = is_dead(after) && match_before(after) == match;
        }
    }
    std::vector<ClassSet> ends(classes_.size());
    for (size_t char_class = 0; char_class < classes_.size(); ++char_class) {
        const State first = next(kStart, char_class);
        if (is_dead(first) || match_before(finish(first)) == kNoAlternative) {
            continue;
        }
        ends[char_class].set();
        for (size_t state = 0; state < num_states(); ++state) {
            ends[char_class] &= ends_alike[next(static_cast<State>(state), char_class)];
        }
    }
    return ends;
}

Dfa::ClassSet Dfa::skipped_classes() const {
    ClassSet skipped;
    for (size_t char_class = 0; char_class < classes_.size(); ++char_class) {
        bool is_skipped = true;
        for (size_t state = 0; state < num_states() && is_skipped; ++state) {
            is_skipped = is_dead(next(static_cast<State>(state), char_class));
        }
        skipped[char_class] = is_skipped;
    }
    return skipped;
}

}  // namespace textmill::tokenizer
