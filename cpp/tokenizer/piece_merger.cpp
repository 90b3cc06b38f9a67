#include "tokenizer/piece_merger.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <stdexcept>

namespace textmill::tokenizer {
namespace {

// Up to here a scan for the lowest rank after each merge is faster than a heap.
constexpr size_t kMaxShortBytes = 32;
constexpr uint32_t kNoSymbol = 0xFFFFFFFF;

}  // namespace

PieceMerger::PieceMerger(const std::array<TokenId, 256>& byte_tokens, const PairTable& pairs)
    : byte_tokens_(byte_tokens),
      pairs_(pairs),
      drops_bytes_(std::find(byte_tokens.begin(), byte_tokens.end(), kNoToken) != byte_tokens.end()) {}

TokenId* PieceMerger::merge(std::string_view piece, TokenId* ids, std::vector<MergeStep>* steps) {
    if (drops_bytes_) {
        kept_.clear();
        std::copy_if(piece.begin(), piece.end(), std::back_inserter(kept_),
                     [this](char byte) { return byte_tokens_[static_cast<uint8_t>(byte)] != kNoToken; });
        piece = kept_;
    }
    if (piece.empty()) {
        return ids;
    }
    return piece.size() <= kMaxShortBytes ? merge_short(piece, ids, steps) : merge_long(piece, ids, steps);
}

TokenId* PieceMerger::merge_short(std::string_view piece, TokenId* ids, std::vector<MergeStep>* steps) {
    struct Part {
        TokenId id;
        uint32_t at;
    };
    std::array<Part, kMaxShortBytes> parts;
    std::array<uint64_t, kMaxShortBytes> merges;  // of each part with the next one: rank << 32 | product
    constexpr uint64_t kNoMerge = ~uint64_t{0};
    const auto merge_of = [&](size_t i) {
        const RankedProduct merge = pairs_.find(parts[i].id, parts[i + 1].id);
        return uint64_t{merge.rank} << 32 | merge.product;
    };
    size_t num_parts = piece.size();
    for (size_t i = 0; i < num_parts; ++i) {
        parts[i] = {byte_tokens_[static_cast<uint8_t>(piece[i])], static_cast<uint32_t>(i)};
    }
    for (size_t i = 0; i + 1 < num_parts; ++i) {
        merges[i] = merge_of(i);
    }
    merges[num_parts - 1] = kNoMerge;
    while (num_parts > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < num_parts; ++i) {
            best = (merges[i] >> 32) < (merges[best] >> 32) ? i : best;
        }
        const uint64_t merge = merges[best];
        if (merge == kNoMerge) {
            break;
        }
        if (steps != nullptr) {
            steps->push_back({parts[best].at, parts[best].id, parts[best + 1].id, static_cast<TokenId>(merge),
                              static_cast<uint32_t>(merge >> 32)});
        }
        parts[best].id = static_cast<TokenId>(merge);
        --num_parts;
        for (size_t i = best + 1; i < num_parts; ++i) {
            parts[i] = parts[i + 1];
            merges[i] = merges[i + 1];
        }
        merges[best] = best + 1 < num_parts ? merge_of(best) : kNoMerge;
        if (best > 0) {
            merges[best - 1] = merge_of(best - 1);
        }
    }
    for (size_t i = 0; i < num_parts; ++i) {
        *ids++ = parts[i].id;
    }
    return ids;
}

void PieceMerger::rank_pair(uint32_t at) {
    Symbol& symbol = symbols_[at];
    const RankedProduct merge =
        symbol.next == kNoSymbol ? RankedProduct{kNoRank, kNoToken} : pairs_.find(symbol.id, symbols_[symbol.next].id);
    symbol.rank = merge.rank;
    symbol.product = merge.product;
}

TokenId* PieceMerger::merge_long(std::string_view piece, TokenId* ids, std::vector<MergeStep>* steps) {
    if (piece.size() >= kNoSymbol) {
        throw std::length_error("a piece of " + std::to_string(piece.size()) + " bytes is longer than 4 GiB");
    }
    const auto num_symbols = static_cast<uint32_t>(piece.size());
    symbols_.resize(num_symbols);
    for (uint32_t i = 0; i < num_symbols; ++i) {
        symbols_[i] = {byte_tokens_[static_cast<uint8_t>(piece[i])], kNoRank, kNoToken, i - 1,
                       i + 1 < num_symbols ? i + 1 : kNoSymbol};
    }
    const auto entry_of = [this](uint32_t at) { return uint64_t{symbols_[at].rank} << 32 | at; };
    heap_.clear();
    for (uint32_t i = 0; i < num_symbols; ++i) {
        rank_pair(i);
        if (symbols_[i].rank != kNoRank) {
            heap_.push_back(entry_of(i));
        }
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    const auto update = [&](uint32_t at) {
        rank_pair(at);
        if (symbols_[at].rank != kNoRank) {
            heap_.push_back(entry_of(at));
            std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
        }
    };
    while (!heap_.empty()) {
        const uint64_t entry = heap_.front();
        std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
        heap_.pop_back();
        const auto at = static_cast<uint32_t>(entry);
        Symbol& symbol = symbols_[at];
        if (symbol.rank != static_cast<uint32_t>(entry >> 32)) {
            continue;  // merged since, or its neighbour was: the pair that was ranked is gone
        }
        const uint32_t next = symbol.next;
        if (steps != nullptr) {
            steps->push_back({at, symbol.id, symbols_[next].id, symbol.product, symbol.rank});
        }
        symbol.id = symbol.product;
        symbol.next = symbols_[next].next;
        symbols_[next].rank = kNoRank;
        if (symbol.next != kNoSymbol) {
            symbols_[symbol.next].previous = at;
        }
        update(at);
        if (at > 0) {
            update(symbol.previous);
        }
    }
    for (uint32_t i = 0; i != kNoSymbol; i = symbols_[i].next) {
        *ids++ = symbols_[i].id;
    }
    if (symbols_.capacity() > (size_t{1} << 16)) {
        symbols_ = {};  // a long piece is rare, and its scratch space is not kept
        heap_ = {};
    }
    return ids;
}

}  // namespace textmill::tokenizer
