#include "tokenizer/scanner.h"

#include <algorithm>
#include <utility>

namespace textmill::tokenizer {
namespace {

constexpr size_t kMaxStages = 16;
// A scan looks every so many bytes whether an earlier one was here and got nowhere. A power of two.
constexpr size_t kCheckpointBytes = 64;

}  // namespace

Splitter::Splitter(std::vector<std::string> stage_regexes) : stage_regexes_(std::move(stage_regexes)) {
    if (stage_regexes_.empty() || stage_regexes_.size() > kMaxStages) {
        throw RegexError("a pattern of " + std::to_string(stage_regexes_.size()) + " stages; it must have 1 to " +
                         std::to_string(kMaxStages));
    }
    uint16_t num_alternatives = 0;
    for (const std::string& regex : stage_regexes_) {
        stages_.push_back({Dfa(regex), num_alternatives});
        num_alternatives = static_cast<uint16_t>(num_alternatives + stages_.back().dfa.num_alternatives());
    }
    for (const Stage& stage : stages_) {
        safe_cuts_.add_stage(stage.dfa);
    }
    window_rule_ = window_rule_of(stage_regexes_);
    find_ends_ = find_ends_tier();
}

Splitter::Splitter(std::vector<std::string> stage_regexes, Function function)
    : stage_regexes_(std::move(stage_regexes)), function_(std::move(function)) {}

void StageScanner::restart(std::string_view text) {
    text_ = text;
    at_ = 0;
    if (!failed_.empty()) {
        std::unordered_set<uint64_t>().swap(failed_);  // clear() takes the time of the largest it ever was
    }
}

bool StageScanner::next(Piece& piece) {
    const size_t begin = at_;
    while (at_ < text_.size()) {
        const Match match = match_at(at_);
        const bool is_match = match.alternative != kNoAlternative;
        if (is_match && at_ > begin) {
            break;  // the gap before it comes first; the match is found again by the next call
        }
        if (match.end > at_) {
            piece = {begin, match.end, match.alternative};
            at_ = match.end;
            return true;
        }
        skip_character();  // no match, or one of nothing, which only begins a new gap
    }
    piece = {begin, at_, kNoAlternative};
    return at_ > begin;
}

StageScanner::Match StageScanner::match_at(size_t begin) {
    Dfa::State state = Dfa::kStart;
    Match match = {begin, kNoAlternative};
    size_t at = begin;
    trail_.clear();
    while (true) {
        const size_t stop = std::min(text_.size(), (at | (kCheckpointBytes - 1)) + 1);
        size_t before = at;
        while (at < stop && !dfa_->is_dead(state)) {
            before = at;
            state = dfa_->step(state, text_, at);
            if (dfa_->match_before(state) != kNoAlternative) {
                match = {before, dfa_->match_before(state)};
            }
        }
        if (dfa_->is_dead(state)) {
            break;
        }
        if (at >= text_.size()) {
            const uint16_t alternative = dfa_->match_before(dfa_->finish(state));
            if (alternative != kNoAlternative) {
                match = {at, alternative};
            }
            break;
        }
        const Checkpoint checkpoint = {at, state};
        if (!failed_.empty() && failed_.contains(checkpoint.key())) {
            break;
        }
        trail_.push_back(checkpoint);
    }
    remember_failures(match.end);
    return match;
}

void StageScanner::remember_failures(size_t match_end) {
    while (!trail_.empty() && trail_.back().at > match_end) {
        failed_.insert(trail_.back().key());
        trail_.pop_back();
    }
}

Scanner::Scanner(const Splitter& splitter, std::string_view text) : splitter_(splitter), text_(text) {
    if (splitter.function_) {
        splitter.function_(text, made_);
        return;
    }
    levels_.reserve(splitter.stages_.size());
    for (const Splitter::Stage& stage : splitter.stages_) {
        levels_.push_back({StageScanner(stage.dfa)});
    }
    levels_[0].scanner.restart(text);
}

// A piece of a level, its places inside the whole text.
bool Scanner::next_of_level(size_t level, Piece& piece) {
    Level& stage = levels_[level];
    if (!stage.scanner.next(piece)) {
        return false;
    }
    const bool is_gap = piece.alternative == kNoAlternative;
    const size_t alternative = size_t{splitter_.stages_[level].first_alternative} + piece.alternative;
    piece = {stage.begin + piece.begin, stage.begin + piece.end,
             is_gap ? stage.alternative : static_cast<uint16_t>(alternative)};
    return true;
}

bool Scanner::next(Piece& piece) {
    if (levels_.empty()) {
        if (num_taken_ == made_.size()) {
            return false;
        }
        piece = made_[num_taken_++];
        return true;
    }
    while (true) {
        if (!next_of_level(level_, piece)) {
            if (level_ == 0) {
                return false;
            }
            --level_;
            continue;
        }
        if (level_ + 1 == levels_.size()) {
            return true;
        }
        Level& next_level = levels_[++level_];
        next_level.begin = piece.begin;
        next_level.alternative = piece.alternative;
        next_level.scanner.restart(text_.substr(piece.begin, piece.end - piece.begin));
    }
}

size_t Scanner::fill(std::span<Piece> pieces) {
    size_t num_pieces = 0;
    while (num_pieces < pieces.size() && next(pieces[num_pieces])) {
        ++num_pieces;
    }
    return num_pieces;
}

}  // namespace textmill::tokenizer
