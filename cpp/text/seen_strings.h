// Strings by numbers, told apart exactly: hashes only say where to look.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "text/little_endian.h"

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

// Tables of numbers are small, so that they stay in the cache: what is numbered lies in the order of its numbers.
class SeenStrings {
  public:
    // Forgets all, and makes room for `capacity` different strings.
    void clear(size_t capacity) {
        slots_.assign(std::bit_ceil(4 * capacity + 2), kEmpty);
        strings_.resize(std::max(strings_.size(), capacity + 1));
        count_ = 0;
    }

    // The number of a string: that which it got when it came first, from 0 on.
    uint32_t number(std::string_view bytes) { return number(bytes, quick_hash(bytes)); }

    // The same for bytes with 8 more behind them that may be read, which is quicker. Not to be mixed with number().
    uint32_t number_padded(std::string_view bytes) {
        if (bytes.size() >= 8) {
            return number(bytes, quick_hash(bytes));
        }
        const uint64_t eight = word_at(bytes.data()) & ((uint64_t{1} << (8 * bytes.size())) - 1);
        const uint64_t hash = (eight ^ uint64_t{bytes.size()} << 56) * 0x9E3779B97F4A7C15;  // one to one
        return number(bytes, hash ^ (hash >> 29));
    }

    // Whether a string was here before; it is from now on.
    bool add(std::string_view bytes) {
        const uint32_t before = count();
        return number(bytes) < before;
    }

    uint32_t count() const { return count_; }

  private:
    static constexpr uint32_t kEmpty = UINT32_MAX;
    struct String {
        uint64_t hash;
        const char* data;
        uint32_t size;  // texts are shorter than 4 GiB
    };

    // Whether a string is new is a coin's toss, so that no branch asks: a new one is compared with what was left in its
    // place, and put there; a known one is put where it is.
    uint32_t number(std::string_view bytes, uint64_t hash) {
        const auto size = static_cast<uint32_t>(bytes.size());
        const size_t mask = slots_.size() - 1;
        for (size_t i = hash & mask;; i = (i + 1) & mask) {
            const bool is_new = slots_[i] == kEmpty;
            const uint32_t number = is_new ? count_ : slots_[i];
            String& known = strings_[number];
            const bool is_known = (known.hash == hash) & (known.size == size);
            if (!(is_new | is_known)) [[unlikely]] {
                continue;
            }
            if (size >= 8 && !is_new && std::memcmp(known.data, bytes.data(), size) != 0) [[unlikely]] {
                continue;
            }
            slots_[i] = number;
            known = {hash, bytes.data(), size};
            count_ += is_new;
            return number;
        }
    }

    std::vector<uint32_t> slots_;  // numbers
    std::vector<String> strings_;  // the first count_ of them
    uint32_t count_ = 0;
};

}  // namespace textmill::text
