// Numbers by pairs of tokens: open addressing, linear probing, at most two thirds full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

inline uint64_t pair_key(TokenId left, TokenId right) {
    return uint64_t{left} << 32 | right;
}

inline uint64_t pair_hash(uint64_t key) {
    key *= 0x9E3779B97F4A7C15;
    key ^= key >> 32;
    key *= 0xD6E8FEB86659FD93;
    return key ^ (key >> 32);
}

template <typename Value>
class PairMap {
  public:
    PairMap() : slots_(kFirstSlots) {}

    // The value of a pair, made where it is not there. Valid until the next call.
    Value& operator[](uint64_t key) {
        if (3 * (size_ + 1) > 2 * slots_.size()) {
            grow();
        }
        Slot& slot = slots_[find_slot(key)];
        if (slot.key == kEmptyKey) {
            slot.key = key;
            ++size_;
        }
        return slot.value;
    }

    Value* find(uint64_t key) {
        Slot& slot = slots_[find_slot(key)];
        return slot.key == key ? &slot.value : nullptr;
    }
    const Value* find(uint64_t key) const { return const_cast<PairMap*>(this)->find(key); }

    // Fetches what a look-up of this pair will touch first.
    void prefetch(uint64_t key) const { __builtin_prefetch(&slots_[pair_hash(key) & (slots_.size() - 1)]); }

    template <typename Visit>
    void for_each(const Visit& visit) const {
        for (const Slot& slot : slots_) {
            if (slot.key != kEmptyKey) {
                visit(slot.key, slot.value);
            }
        }
    }

    size_t size() const { return size_; }
    size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot); }

    // What the table holds while it takes one more.
    size_t memory_bytes_to_add() const { return memory_bytes() * (3 * (size_ + 1) > 2 * slots_.size() ? 3 : 1); }

  private:
    static constexpr size_t kFirstSlots = size_t{1} << 10;
    static constexpr uint64_t kEmptyKey = ~uint64_t{0};
    struct Slot {
        uint64_t key = kEmptyKey;
        Value value{};
    };

    size_t find_slot(uint64_t key) const {
        const size_t mask = slots_.size() - 1;
        size_t at = static_cast<size_t>(pair_hash(key)) & mask;
        while (slots_[at].key != key && slots_[at].key != kEmptyKey) {
            at = (at + 1) & mask;
        }
        return at;
    }

    void grow() {
        std::vector<Slot> old(2 * slots_.size());
        old.swap(slots_);
        for (const Slot& slot : old) {
            if (slot.key != kEmptyKey) {
                slots_[find_slot(slot.key)] = slot;
            }
        }
    }

    std::vector<Slot> slots_;
    size_t size_ = 0;
};

}  // namespace textmill::tokenizer
