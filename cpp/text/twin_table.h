// Which of many keys may be there twice: counts by hash, so that some keys are taken for twins that are none.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace textmill::text {

class TwinTable {
  public:
    // Forgets all, and makes room for about `num_keys`.
    void clear(size_t num_keys) {
        const size_t num_places = std::bit_ceil(16 * num_keys + 2);
        shift_ = static_cast<unsigned>(64 - std::countr_zero(num_places));
        counts_.assign(num_places, 0);
    }

    // Counts a key; returns its place.
    uint32_t add(uint64_t key) {
        const auto place = static_cast<uint32_t>(key * 0x9E3779B97F4A7C15 >> shift_);
        counts_[place] = static_cast<uint8_t>(counts_[place] + 1 - (counts_[place] >> 1));  // 0, 1, 2, 2
        return place;
    }

    // Whether a key of a place may be there more than once.
    bool has_twin(uint32_t place) const { return counts_[place] > 1; }

  private:
    std::vector<uint8_t> counts_;
    unsigned shift_ = 0;
};

}  // namespace textmill::text
