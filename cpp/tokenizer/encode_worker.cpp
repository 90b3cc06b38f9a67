#include "tokenizer/encode_worker.h"

#include <algorithm>
#include <array>

#include "tokenizer/piece_ends.h"
#include "tokenizer/short_merge.h"
#include "tokenizer/tiers.h"

namespace textmill::tokenizer {
namespace {

// So many pieces are merged in turns: while one waits for the merge table, the others go on.
constexpr size_t kTurns = 16;

bool has_all_bytes(const Vocab& vocab) {
    const auto& tokens = vocab.byte_tokens();
    return std::find(tokens.begin(), tokens.end(), kNoToken) == tokens.end();
}

}  // namespace

// Bytes that are dropped bring others together, and a part is not looked up as a whole piece is.
EncodeWorker::EncodeWorker(const Vocab& vocab)
    : vocab_(vocab), may_cut_(!vocab.whole_pieces() && has_all_bytes(vocab)), pieces_(vocab) {}

// Two passes: the first asks for the cache lines that the second reads. The pieces that are not found there are merged
// together.
TEXTMILL_EACH_TIER void EncodeWorker::look_up(std::string_view text, size_t num_padding, size_t begin,
                                              std::span<const uint32_t> ends) {
    struct Lookup {
        WordCache::Key key;
        uint64_t hash;
    };
    cache_.forget_if_full();
    std::array<Lookup, PieceEnds::kMaxEnds> lookups;
    const char* const readable_end = text.data() + text.size() + num_padding;
    size_t at = begin;
    for (size_t i = 0; i < ends.size(); ++i) {
        const char* const piece = text.data() + at;
        const size_t num_bytes = ends[i] - at;
        at = ends[i];
        if (num_bytes <= WordCache::kMaxKeyBytes) {
            lookups[i].key = WordCache::short_key(piece, num_bytes, readable_end);
        } else if (num_bytes <= WordCache::kMaxBytes) {
            lookups[i].key = WordCache::long_key({piece, num_bytes});
        } else {
            continue;
        }
        lookups[i].hash = WordCache::hash(lookups[i].key);
        cache_.prefetch(lookups[i].hash);
    }

    unknown_.clear();
    next_unknown_ = 0;
    at = begin;
    for (size_t i = 0; i < ends.size(); ++i) {
        const std::string_view piece(text.data() + at, ends[i] - at);
        at = ends[i];
        const bool is_known =
            piece.size() <= WordCache::kMaxBytes && cache_.find(lookups[i].key, lookups[i].hash, piece, known_[i]);
        if (!is_known) [[unlikely]] {
            unknown_.push_back({piece, i, nullptr, nullptr});
        }
    }
    if (unknown_.empty()) {
        return;
    }
    encode_unknown();
    for (const Unknown& merged : unknown_) {
        if (merged.piece.size() <= WordCache::kMaxBytes) {
            const Lookup& lookup = lookups[merged.place];
            cache_.add(lookup.key, lookup.hash, merged.piece, {merged.ids, merged.end});
        }
    }
}

TEXTMILL_EACH_TIER TokenId* EncodeWorker::write(size_t first, size_t last, TokenId* ids) {
    size_t place = first;
    for (; next_unknown_ < unknown_.size() && unknown_[next_unknown_].place < last; ++next_unknown_) {
        const Unknown& merged = unknown_[next_unknown_];
        for (; place < merged.place; ++place) {
            ids = cache_.write(known_[place], ids);
        }
        ids = std::copy(merged.ids, merged.end, ids);
        ++place;
    }
    for (; place < last; ++place) {
        ids = cache_.write(known_[place], ids);
    }
    return ids;
}

TEXTMILL_EACH_TIER void EncodeWorker::encode_unknown() {
    size_t room = 0;
    for (const Unknown& one : unknown_) {
        room += one.piece.size() + kSpareIds;
    }
    merged_.clear();
    TokenId* ids = merged_.reserve(room);
    for (Unknown& one : unknown_) {
        one.ids = ids;
        ids += one.piece.size() + kSpareIds;
    }

    struct Turn {
        ShortMerge merge;
        Unknown* unknown;
    };
    std::array<Turn, kTurns> turns;
    auto next = unknown_.begin();
    const auto begin_next = [&](Turn& turn) {
        while (next != unknown_.end()) {
            Unknown& one = *next++;
            const bool is_short = may_cut_ && one.piece.size() <= ShortMerge::kMaxBytes;
            if (!is_short || !turn.merge.start(vocab_.byte_tokens(), vocab_.merges(), one.piece)) {
                one.end = encode_alone(one.piece, one.ids);
                continue;
            }
            turn.unknown = &one;
            if (turn.merge.join(vocab_.merges())) {
                return true;
            }
            one.end = turn.merge.finish(one.ids);
        }
        return false;
    };
    size_t num_turns = 0;
    while (num_turns < kTurns && begin_next(turns[num_turns])) {
        ++num_turns;
    }
    while (num_turns > 0) {
        for (size_t i = 0; i < num_turns; ++i) {
            turns[i].merge.rank_new_pairs(vocab_.merges());
        }
        for (size_t i = 0; i < num_turns;) {
            Turn& turn = turns[i];
            if (!turn.merge.join(vocab_.merges())) {
                turn.unknown->end = turn.merge.finish(turn.unknown->ids);
                if (!begin_next(turn)) {
                    turn = turns[--num_turns];
                    continue;
                }
            }
            ++i;
        }
    }
}

// Before a character outside ASCII that no token reaches across, a piece is cut: most of its parts are known.
TokenId* EncodeWorker::encode_alone(std::string_view piece, TokenId* ids) {
    constexpr auto kFirstLead = uint8_t{0xC2};
    size_t begin = 0;
    for (size_t at = 1; may_cut_ && at < piece.size(); ++at) {
        if (static_cast<uint8_t>(piece[at]) >= kFirstLead && !vocab_.grams().may_cross(piece, at)) {
            ids = encode_part(piece.substr(begin, at - begin), ids);
            begin = at;
        }
    }
    return begin == 0 ? pieces_.encode(piece, ids) : encode_part(piece.substr(begin), ids);
}

TokenId* EncodeWorker::encode_part(std::string_view part, TokenId* ids) {
    if (part.size() > WordCache::kMaxKeyBytes) {
        return pieces_.encode(part, ids);
    }
    const WordCache::Key key = WordCache::short_key(part.data(), part.size(), part.data() + part.size());
    const uint64_t hash = WordCache::hash(key);
    WordCache::Value known;
    if (cache_.find(key, hash, part, known)) {
        return cache_.write(known, ids);
    }
    TokenId* const end = pieces_.encode(part, ids);
    cache_.add(key, hash, part, {ids, end});
    return end;
}

}  // namespace textmill::tokenizer
