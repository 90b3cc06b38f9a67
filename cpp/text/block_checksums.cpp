#include "text/block_checksums.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace textmill::text {
namespace {

// Four chains, since a multiplication's result is there three cycles after it began.
constexpr size_t kChains = 4;
constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;  // 2^64 by the golden ratio, odd

uint64_t mix(uint64_t state, uint64_t word) {
    state = (state ^ word) * kMultiplier;
    return state ^ (state >> 32);
}

uint64_t word_at(const uint8_t* bytes, size_t num_bytes) {
    uint64_t word = 0;
    if constexpr (std::endian::native == std::endian::little) {
        std::memcpy(&word, bytes, num_bytes);
    } else {
        for (size_t i = 0; i < num_bytes; ++i) {
            word |= uint64_t{bytes[i]} << (8 * i);
        }
    }
    return word;
}

}  // namespace

uint64_t block_checksum(std::span<const uint8_t> block) {
    constexpr size_t kWord = sizeof(uint64_t);
    std::array<uint64_t, kChains> chains{1, 2, 3, 4};
    const uint8_t* at = block.data();
    size_t num_left = block.size();
    for (; num_left >= kChains * kWord; at += kChains * kWord, num_left -= kChains * kWord) {
        for (size_t i = 0; i < kChains; ++i) {
            chains[i] = mix(chains[i], word_at(at + i * kWord, kWord));
        }
    }
    uint64_t state = block.size();
    for (const uint64_t chain : chains) {
        state = mix(state, chain);
    }
    while (num_left > 0) {
        const size_t num_bytes = std::min(num_left, kWord);
        state = mix(state, word_at(at, num_bytes));
        at += num_bytes;
        num_left -= num_bytes;
    }
    return state;
}

std::vector<uint64_t> block_checksums(std::span<const uint8_t> bytes, size_t block_bytes) {
    std::vector<uint64_t> checksums;
    checksums.reserve(bytes.size() / block_bytes + 1);
    for (size_t begin = 0; begin < bytes.size(); begin += block_bytes) {
        checksums.push_back(block_checksum(bytes.subspan(begin, std::min(block_bytes, bytes.size() - begin))));
    }
    return checksums;
}

}  // namespace textmill::text
