// 128 bits of a text, to tell equal texts from others.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace textmill::text {

using TextHash = std::array<uint64_t, 2>;

// Two chains of 64 bits over blocks of 16 bytes, each step the two halves of a 128-bit product folded into one (as in
// wyhash), joined with the length at the end. Of 10^10 texts any two share a hash with probability 1.5e-19; it is no
// defence against somebody who makes texts to that end.
TextHash hash_text(std::string_view text);

}  // namespace textmill::text
