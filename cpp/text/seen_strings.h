// Strings by numbers, told apart exactly: hashes only say where to look.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

namespace textmill::text {

// A hash for tables that compare what they find: quick, and not meant to resist who chooses the strings. Of two strings
// of the same length below 8 it is never the same.
inline uint64_t quick_hash(std::string_view bytes) {
    constexpr uint64_t kFactor = 0x9E3779B97F4A7C15;
    const auto load32 = [](const char* at) {
        uint32_t four = 0;
        std::memcpy(&four, at, 4);
        return uint64_t{four};
    };
    uint64_t hash = bytes.size() * kFactor;
    const char* at = bytes.data();
    size_t left = bytes.size();
    for (uint64_t eight = 0; left >= 8; left -= 8, at += 8) {
        std::memcpy(&eight, at, 8);
        hash = (hash ^ eight) * kFactor;
        hash ^= hash >> 32;
    }
    if (left >= 4) {
        hash ^= load32(at) | load32(at + left - 4) << 32;
    } else if (left > 0) {
        const auto byte = [at](size_t i) { return uint64_t{static_cast<uint8_t>(at[i])}; };
        hash ^= byte(0) | byte(left / 2) << 8 | byte(left - 1) << 16;
    }
    hash *= kFactor;
    return hash ^ (hash >> 29);
}

class SeenStrings {
  public:
    // Forgets all, and makes room for `capacity` different strings.
    void clear(size_t capacity) {
        const size_t num_slots = std::bit_ceil(2 * capacity + 2);
        mask_ = num_slots - 1;
        slots_.assign(num_slots, Slot{0, nullptr, 0, kEmpty});
        count_ = 0;
    }

    // The number of a string: that which it got when it came first, from 0 on.
    uint32_t number(std::string_view bytes) {
        const uint64_t hash = quick_hash(bytes);
        const auto size = static_cast<uint32_t>(bytes.size());
        for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
            Slot& slot = slots_[i];
            if (slot.number == kEmpty) {
                slot = {hash, bytes.data(), size, count_};
                return count_++;
            }
            if (slot.hash == hash && slot.size == size &&
                (size < 8 || std::memcmp(slot.data, bytes.data(), size) == 0)) {
                return slot.number;
            }
        }
    }

    // Whether a string was here before; it is from now on.
    bool add(std::string_view bytes) {
        const uint32_t before = count_;
        return number(bytes) < before;
    }

    uint32_t count() const { return count_; }

  private:
    static constexpr uint32_t kEmpty = UINT32_MAX;
    struct Slot {
        uint64_t hash;
        const char* data;
        uint32_t size;  // texts are shorter than 4 GiB
        uint32_t number;
    };
    std::vector<Slot> slots_;
    size_t mask_ = 0;
    uint32_t count_ = 0;
};

}  // namespace textmill::text
