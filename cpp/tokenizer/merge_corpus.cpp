#include "tokenizer/merge_corpus.h"

#include <algorithm>
#include <stdexcept>

namespace textmill::tokenizer {

MergeCorpus::MergeCorpus(size_t num_words, size_t num_tokens, size_t num_ids) : widths_(num_ids, 1) {
    const size_t num_slots = 2 * num_words + num_tokens + 1;
    if (num_slots > 0xFFFFFFFF) {
        throw std::length_error("the different pieces of the text hold more than 4 GiB together");
    }
    slots_.reserve(num_slots);
}

void MergeCorpus::add_word(std::span<const TokenId> tokens, uint64_t count) {
    const size_t begin = slots_.size();
    slots_.push_back(kNoTokenBit | static_cast<uint32_t>(count >> 31));
    slots_.push_back(kNoTokenBit | static_cast<uint32_t>(count & ~kNoTokenBit));
    slots_.insert(slots_.end(), tokens.begin(), tokens.end());
    note_if_long(begin, slots_.size(), count);
}

void MergeCorpus::finish() {
    slots_.push_back(kNoTokenBit);
}

size_t MergeCorpus::memory_bytes() const {
    return (slots_.capacity() + widths_.capacity()) * sizeof(uint32_t) + long_words_.capacity() * sizeof(LongWord);
}

std::vector<MergeCorpus::Share> MergeCorpus::shares(size_t num_shares) const {
    std::vector<Share> shares;
    const size_t end = slots_.size() - 1;
    size_t begin = 0;
    for (size_t i = 1; i <= num_shares && begin < end; ++i) {
        size_t at = std::max(begin + 2, end / num_shares * i);
        while (at < end && !(is_token(slots_[at - 1]) && !is_token(slots_[at]))) {
            ++at;
        }
        at = i == num_shares ? end : std::min(at, end);
        shares.push_back({begin, at});
        begin = at;
    }
    return shares;
}

uint64_t MergeCorpus::count_at(size_t at) const {
    for (size_t steps = 0; steps < kLongWord; ++steps) {
        const uint32_t before = slots_[at - 1];
        if (!is_token(before)) {
            return count_in(at - 2);
        }
        at -= widths_[before];
    }
    const auto after = std::upper_bound(long_words_.begin(), long_words_.end(), at,
                                        [](size_t place, const LongWord& word) { return place < word.begin; });
    return std::prev(after)->count;
}

void MergeCorpus::add_token(TokenId left, TokenId right, TokenId product) {
    if (product >= widths_.size()) {
        widths_.resize(product + size_t{1}, 1);
    }
    widths_[product] = widths_[left] + widths_[right];
}

void MergeCorpus::merge(size_t at, TokenId left, TokenId product) {
    slots_[at + widths_[left]] = kNoTokenBit;  // a place inside a token holds no pair
    slots_[at] = product;
    slots_[at + widths_[product] - 1] = product;
}

}  // namespace textmill::tokenizer
