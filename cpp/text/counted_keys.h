// 64-bit keys, numbered and counted.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace textmill::text {

class CountedKeys {
  public:
    struct Counted {
        uint64_t key;
        uint32_t count;
        uint32_t first;  // where it was first
    };

    // Forgets all, and makes room for `capacity` different keys.
    void clear(size_t capacity) {
        const size_t num_slots = std::bit_ceil(4 * capacity + 2);
        shift_ = static_cast<unsigned>(64 - std::countr_zero(num_slots));
        slots_.assign(num_slots, kEmpty);
        counted_.resize(std::max(counted_.size(), capacity + 1));
        count_ = 0;
    }

    // Counts a key that is at a place; returns its number, from 0 on as they come. Whether a key is new is a coin's
    // toss, so that no branch asks.
    uint32_t add(uint64_t key, uint32_t place) {
        const size_t mask = slots_.size() - 1;
        for (size_t i = key * 0x9E3779B97F4A7C15 >> shift_;; i = (i + 1) & mask) {
            const bool is_new = slots_[i] == kEmpty;
            const uint32_t number = is_new ? count_ : slots_[i];
            Counted& known = counted_[number];
            if (!(is_new | (known.key == key))) [[unlikely]] {
                continue;
            }
            slots_[i] = number;
            known = {key, is_new ? 1 : known.count + 1, is_new ? place : known.first};
            count_ += is_new;
            return number;
        }
    }

    // By number.
    std::span<const Counted> counted() const { return {counted_.data(), count_}; }

  private:
    static constexpr uint32_t kEmpty = UINT32_MAX;
    std::vector<uint32_t> slots_;   // numbers
    std::vector<Counted> counted_;  // the first count_ of them
    uint32_t count_ = 0;
    unsigned shift_ = 0;
};

}  // namespace textmill::text
