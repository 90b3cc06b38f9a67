// A hash of byte strings: quick, and not made for adversaries; what it indexes stays right whatever it gives.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace textmill::tokenizer {

inline uint64_t hash_bytes(std::string_view bytes) {
    constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;
    uint64_t state = bytes.size() * kMultiplier;
    const auto mix = [&state](uint64_t block) {
        state = (state ^ block) * kMultiplier;
        state ^= state >> 32;
    };
    size_t at = 0;
    for (; at + sizeof(uint64_t) <= bytes.size(); at += sizeof(uint64_t)) {
        uint64_t block = 0;
        std::memcpy(&block, bytes.data() + at, sizeof(block));
        mix(block);
    }
    uint64_t tail = 0;
    std::memcpy(&tail, bytes.data() + at, bytes.size() - at);
    mix(tail);
    return state;
}

}  // namespace textmill::tokenizer
