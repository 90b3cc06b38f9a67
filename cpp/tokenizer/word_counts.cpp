#include "tokenizer/word_counts.h"

#include <cstring>

namespace textmill::tokenizer {

uint64_t WordCounts::hash(std::string_view word) {
    constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;
    uint64_t state = word.size() * kMultiplier;
    const auto mix = [&state](uint64_t block) {
        state = (state ^ block) * kMultiplier;
        state ^= state >> 32;
    };
    while (word.size() >= sizeof(uint64_t)) {
        uint64_t block = 0;
        std::memcpy(&block, word.data(), sizeof(block));
        mix(block);
        word.remove_prefix(sizeof(block));
    }
    uint64_t tail = 0;
    std::memcpy(&tail, word.data(), word.size());
    mix(tail);
    return state;
}

void WordCounts::add(std::string_view word, uint64_t hash, uint64_t count) {
    const size_t mask = slots_.size() - 1;
    for (size_t slot = static_cast<size_t>(hash) & mask;; slot = (slot + 1) & mask) {
        if (slots_[slot] == kEmptySlot) {
            if (word.size() > 0xFFFFFFFF || words_.size() >= kEmptySlot) {
                throw std::length_error("more than 2^32 different pieces, or one of more than 4 GiB");
            }
            slots_[slot] = static_cast<uint32_t>(words_.size());
            words_.push_back({hash, arena_.size(), count, static_cast<uint32_t>(word.size())});
            arena_.append(word);
            if (2 * words_.size() > slots_.size()) {
                grow();
            }
            return;
        }
        Word& known = words_[slots_[slot]];
        if (known.hash == hash && bytes_of(known) == word) {
            known.count += count;
            return;
        }
    }
}

void WordCounts::grow() {
    slots_.assign(2 * slots_.size(), kEmptySlot);
    const size_t mask = slots_.size() - 1;
    for (size_t i = 0; i < words_.size(); ++i) {
        size_t slot = static_cast<size_t>(words_[i].hash) & mask;
        while (slots_[slot] != kEmptySlot) {
            slot = (slot + 1) & mask;
        }
        slots_[slot] = static_cast<uint32_t>(i);
    }
}

void WordCounts::merge(const WordCounts& other) {
    for (const Word& word : other.words_) {
        add(other.bytes_of(word), word.hash, word.count);
    }
}

}  // namespace textmill::tokenizer
