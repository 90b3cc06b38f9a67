#include "text/feistel.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <string>
#include <utility>

namespace textmill::text {
namespace {

// The finaliser of splitmix64 (Steele, Lea and Flood 2014).
uint64_t scramble(uint64_t value) {
    value += 0x9E3779B97F4A7C15;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
    return value ^ (value >> 31);
}

}  // namespace

void permute(std::span<int64_t> numbers, uint64_t size, const std::array<uint64_t, kFeistelRounds>& round_keys) {
    if (size == 0 || size > uint64_t{1} << 62) {
        throw std::invalid_argument("an order of " + std::to_string(size) + " numbers cannot be made");
    }
    const auto half_bits = std::max<uint64_t>(1, (static_cast<uint64_t>(std::bit_width(size - 1)) + 1) / 2);
    const uint64_t mask = (uint64_t{1} << half_bits) - 1;
    for (int64_t& number : numbers) {
        auto value = static_cast<uint64_t>(number);
        if (number < 0 || value >= size) {
            throw std::invalid_argument(std::to_string(number) + " is not below " + std::to_string(size));
        }
        do {
            uint64_t left = value >> half_bits;
            uint64_t right = value & mask;
            for (const uint64_t key : round_keys) {
                left = std::exchange(right, left ^ (scramble(right + key) & mask));
            }
            value = (left << half_bits) | right;
        } while (value >= size);
        number = static_cast<int64_t>(value);
    }
}

}  // namespace textmill::text
