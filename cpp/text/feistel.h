// A keyed order of a range of numbers, each one's place computed on its own.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace textmill::text {

constexpr size_t kFeistelRounds = 6;

// Puts the place of each number below `size` in its place: a balanced Feistel network over the next power of four,
// walked until it lands inside. textmill.data.reference_permutation says it in Python.
// Throws std::invalid_argument where a number is not below `size`.
void permute(std::span<int64_t> numbers, uint64_t size, const std::array<uint64_t, kFeistelRounds>& round_keys);

}  // namespace textmill::text
