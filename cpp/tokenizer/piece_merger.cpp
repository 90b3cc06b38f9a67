#include "tokenizer/piece_merger.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <stdexcept>

#include "tokenizer/short_merge.h"

namespace textmill::tokenizer {
namespace {

constexpr uint32_t kNoSymbol = 0xFFFFFFFF;

}  // namespace

PieceMerger::PieceMerger(const std::array<TokenId, 256>& byte_tokens, const MergeTable& merges)
    : byte_tokens_(byte_tokens),
      merges_(merges),
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
    return piece.size() <= ShortMerge::kMaxBytes ? merge_short(piece, ids, steps) : merge_long(piece, ids, steps);
}

TokenId* PieceMerger::merge_short(std::string_view piece, TokenId* ids, std::vector<MergeStep>* steps) {
    ShortMerge merge;
    for (merge.start(byte_tokens_, merges_, piece); merge.join(merges_); merge.rank_new_pairs(merges_)) {
        if (steps != nullptr) {
            steps->push_back({static_cast<uint32_t>(merge.at()), merge.left_part(), merge.right_part(),
                              merges_.product_of(merge.rank()), merge.rank()});
        }
    }
    return merge.finish(ids);
}

TokenId* PieceMerger::merge_long(std::string_view piece, TokenId* ids, std::vector<MergeStep>* steps) {
    if (piece.size() >= kNoSymbol) {
        throw std::length_error("a piece of " + std::to_string(piece.size()) + " bytes is longer than 4 GiB");
    }
    const auto num_symbols = static_cast<uint32_t>(piece.size());
    symbols_.resize(num_symbols);
    for (uint32_t i = 0; i < num_symbols; ++i) {
        symbols_[i] = {byte_tokens_[static_cast<uint8_t>(piece[i])], kNoRank, i - 1,
                       i + 1 < num_symbols ? i + 1 : kNoSymbol};
    }
    const auto entry_of = [this](uint32_t at) { return uint64_t{symbols_[at].rank} << 32 | at; };
    const auto rank_pair = [this](uint32_t at) {
        Symbol& symbol = symbols_[at];
        symbol.rank = symbol.next == kNoSymbol ? kNoRank : merges_.rank_of(symbol.id, symbols_[symbol.next].id);
    };
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
            steps->push_back({at, symbol.id, symbols_[next].id, merges_.product_of(symbol.rank), symbol.rank});
        }
        symbol.id = merges_.product_of(symbol.rank);
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
        std::vector<Symbol>().swap(symbols_);  // a long piece is rare, and its scratch space is not kept
        std::vector<uint64_t>().swap(heap_);
        std::string().swap(kept_);
    }
    return ids;
}

}  // namespace textmill::tokenizer
