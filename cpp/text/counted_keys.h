// 64-bit keys, numbered and counted.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
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
        counted_.clear();
    }

    // Counts a key that is at a place; returns its number, from 0 on as they come.
    uint32_t add(uint64_t key, uint32_t place) {
        const size_t mask = slots_.size() - 1;
        for (size_t i = key * 0x9E3779B97F4A7C15 >> shift_;; i = (i + 1) & mask) {
            const uint32_t number = slots_[i];
            if (number == kEmpty) {
                slots_[i] = static_cast<uint32_t>(counted_.size());
                counted_.push_back({key, 1, place});
                return slots_[i];
            }
            if (counted_[number].key == key) {
                ++counted_[number].count;
                return number;
            }
        }
    }

    // By number.
    const std::vector<Counted>& counted() const { return counted_; }

  private:
    static constexpr uint32_t kEmpty = UINT32_MAX;
    std::vector<uint32_t> slots_;  // numbers
    std::vector<Counted> counted_;
    unsigned shift_ = 0;
};

}  // namespace textmill::text
