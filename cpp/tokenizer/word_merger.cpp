#include "tokenizer/word_merger.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <stdexcept>

namespace textmill::tokenizer {

WordMerger::WordMerger(const std::vector<std::string>& tokens, const std::vector<Merge>& merges, bool whole_pieces)
    : pairs_(merges.size()), has_merges_(!merges.empty()) {
    byte_tokens_.fill(kNoToken);
    for (TokenId id = 0; id < tokens.size(); ++id) {
        if (tokens[id].size() == 1) {
            byte_tokens_[static_cast<uint8_t>(tokens[id][0])] = id;
        }
        if (whole_pieces && !tokens[id].empty()) {
            whole_pieces_.emplace(tokens[id], id);
        }
    }
    if (std::find(byte_tokens_.begin(), byte_tokens_.end(), kNoToken) != byte_tokens_.end()) {
        throw std::invalid_argument("not all of the 256 bytes have a token");
    }
    for (size_t rank = 0; rank < merges.size(); ++rank) {
        pairs_.insert(merges[rank].left, merges[rank].right, {static_cast<uint32_t>(rank), merges[rank].product});
    }
}

std::span<const TokenId> WordMerger::operator()(std::string_view word) {
    if (const auto whole = whole_pieces_.find(word); whole != whole_pieces_.end()) {
        tokens_.assign(1, whole->second);
        return tokens_;
    }
    tokens_.resize(word.size());
    std::transform(word.begin(), word.end(), tokens_.begin(),
                   [this](char byte) { return byte_tokens_[static_cast<uint8_t>(byte)]; });
    if (has_merges_ && word.size() > 1) {
        merge();
    }
    return tokens_;
}

void WordMerger::push_step(size_t at) {
    const size_t next = next_[at];
    if (next < tokens_.size()) {
        const RankedProduct found = pairs_.find(tokens_[at], tokens_[next]);
        if (found.rank != kNoRank) {
            steps_.push_back({found.rank, static_cast<uint32_t>(at)});
            std::push_heap(steps_.begin(), steps_.end(), std::greater<>());
        }
    }
}

void WordMerger::merge() {
    const size_t size = tokens_.size();
    next_.resize(size + 1);
    previous_.resize(size + 1);
    std::iota(next_.begin(), next_.end(), 1u);
    std::iota(previous_.begin(), previous_.end(), ~0u);
    steps_.clear();
    for (size_t at = 0; at + 1 < size; ++at) {
        push_step(at);
    }
    while (!steps_.empty()) {
        std::pop_heap(steps_.begin(), steps_.end(), std::greater<>());
        const Step step = steps_.back();
        steps_.pop_back();
        const size_t right = next_[step.at];
        if (tokens_[step.at] == kNoToken || right >= size) {
            continue;
        }
        const RankedProduct found = pairs_.find(tokens_[step.at], tokens_[right]);
        if (found.rank != step.rank) {
            continue;
        }
        tokens_[step.at] = found.product;
        tokens_[right] = kNoToken;
        next_[step.at] = next_[right];
        previous_[next_[right]] = step.at;
        if (step.at > 0) {
            push_step(previous_[step.at]);
        }
        push_step(step.at);
    }
    std::erase(tokens_, kNoToken);
}

}  // namespace textmill::tokenizer
