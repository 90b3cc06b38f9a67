// 64-bit keys, numbered and counted.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace textmill::text {

class CountedKeys {
  public:
    struct Count {
        uint32_t count;
        uint32_t first;  // where it was first
    };

    // Forgets all, and makes room for `capacity` different keys.
    void clear(size_t capacity) {
        const size_t num_slots = std::bit_ceil(2 * capacity + 2);
        shift_ = static_cast<unsigned>(64 - std::countr_zero(num_slots));
        slots_.assign(num_slots, Slot{0, kEmpty});
        counts_.clear();
    }

    // Counts a key that is at a place; returns its number, from 0 on as they come.
    uint32_t add(uint64_t key, uint32_t place) {
        const size_t mask = slots_.size() - 1;
        for (size_t i = key * 0x9E3779B97F4A7C15 >> shift_;; i = (i + 1) & mask) {
            Slot& slot = slots_[i];
            if (slot.number == kEmpty) {
                slot = {key, static_cast<uint32_t>(counts_.size())};
                counts_.push_back({1, place});
                return slot.number;
            }
            if (slot.key == key) {
                ++counts_[slot.number].count;
                return slot.number;
            }
        }
    }

    // By number.
    const std::vector<Count>& counts() const { return counts_; }

  private:
    static constexpr uint32_t kEmpty = UINT32_MAX;
    struct Slot {
        uint64_t key;
        uint32_t number;
    };
    std::vector<Slot> slots_;
    std::vector<Count> counts_;
    unsigned shift_ = 0;
};

}  // namespace textmill::text
