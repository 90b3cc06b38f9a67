// The different words of the training text as tokens, in one array that merging works on.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

// Each word is two slots that hold its count, and then its tokens. A token that a merge makes keeps the slots of its
// parts: its id stands in the first and in the last, so that the neighbours on both sides are found without links.
// compact() gives every token one slot again. All tokens with one id are equally wide, since all of them are made in
// one merge.
class MergeCorpus {
  public:
    // Set in slots that hold no token: the two of a word's count, and the end of the array.
    static constexpr uint32_t kNoTokenBit = uint32_t{1} << 31;
    static bool is_token(uint32_t slot) { return (slot & kNoTokenBit) == 0; }

    // Bytes of memory for words that have `num_tokens` together.
    static size_t bytes_for(size_t num_words, size_t num_tokens) {
        return (2 * num_words + num_tokens + 1) * sizeof(uint32_t);
    }

    // Room for words, and for tokens with ids below `num_ids`.
    MergeCorpus(size_t num_words, size_t num_tokens, size_t num_ids);

    // Before finish() only. At least two tokens.
    void add_word(std::span<const TokenId> tokens, uint64_t count);
    void finish();

    size_t num_slots() const { return slots_.size(); }
    size_t memory_bytes() const;

    uint32_t operator[](size_t at) const { return slots_[at]; }
    // Fetches a place that is about to change, and what stands before it.
    void prefetch(size_t at) const {
        __builtin_prefetch(&slots_[at], 1);
        __builtin_prefetch(&slots_[at - std::min(at, kSlotsBefore)], 1);
    }

    uint32_t width_of(TokenId id) const { return widths_[id]; }
    size_t next_of(size_t at) const { return at + widths_[slots_[at]]; }
    bool holds_pair(size_t at, TokenId left, TokenId right) const {
        return slots_[at] == left && slots_[at + widths_[left]] == right;
    }

    // The count of the word that a token belongs to.
    uint64_t count_at(size_t at) const;

    // Gives the product of a merge its width, and room for it where the id is new.
    void add_token(TokenId left, TokenId right, TokenId product);
    void merge(size_t at, TokenId left, TokenId product);

    // Some of the words: their places in the array.
    struct Share {
        size_t begin;
        size_t end;
    };

    // All words in consecutive shares of about equal size. Only while every token has one slot, as after compact().
    std::vector<Share> shares(size_t num_shares) const;

    // Calls visit(place, left, right, word count) for each pair of neighbours in a share, in order.
    template <typename Visit>
    void for_each_pair(const Share& share, const Visit& visit) const {
        for (size_t at = share.begin; at < share.end;) {
            const uint64_t count = count_in(at);
            for (at += 2; is_token(slots_[at + 1]); ++at) {
                visit(at, slots_[at], slots_[at + 1], count);
            }
            ++at;
        }
    }

    // Calls visit(token, word count) for each token.
    template <typename Visit>
    void for_each_token(const Visit& visit) const {
        for (size_t at = 0; at + 1 < slots_.size();) {
            const uint64_t count = count_in(at);
            for (at += 2; is_token(slots_[at]); at = next_of(at)) {
                visit(slots_[at], count);
            }
        }
    }

    // Gives each token one slot, and leaves out words of one token after visit(token, word count).
    template <typename Visit>
    void compact(const Visit& visit) {
        size_t end = 0;
        long_words_.clear();
        for (size_t at = 0; at + 1 < slots_.size();) {
            const uint64_t count = count_in(at);
            const size_t begin = end;
            slots_[end++] = slots_[at];
            slots_[end++] = slots_[at + 1];
            for (at += 2; is_token(slots_[at]);) {
                const TokenId token = slots_[at];
                at += widths_[token];
                slots_[end++] = token;
            }
            if (end == begin + 3) {
                visit(slots_[begin + 2], count);
                end = begin;
            } else {
                note_if_long(begin, end, count);
            }
        }
        slots_[end++] = kNoTokenBit;
        slots_.resize(end);
        if (slots_.capacity() > 2 * end) {
            slots_.shrink_to_fit();
        }
        std::fill(widths_.begin(), widths_.end(), 1);
    }

  private:
    // A word's count stands before its tokens, mostly within so many slots.
    static constexpr size_t kSlotsBefore = 6;

    // Words of more tokens have their count in a list too, since walking to their first token may be long.
    static constexpr size_t kLongWord = 32;
    struct LongWord {
        uint32_t begin;
        uint64_t count;
    };

    uint64_t count_in(size_t begin) const {
        return uint64_t{slots_[begin] & ~kNoTokenBit} << 31 | (slots_[begin + 1] & ~kNoTokenBit);
    }
    void note_if_long(size_t begin, size_t end, uint64_t count) {
        if (end - begin > kLongWord) {
            long_words_.push_back({static_cast<uint32_t>(begin), count});
        }
    }

    std::vector<uint32_t> slots_;
    std::vector<uint32_t> widths_;      // of tokens by id, in slots
    std::vector<LongWord> long_words_;  // in the order of their places
};

}  // namespace textmill::tokenizer
