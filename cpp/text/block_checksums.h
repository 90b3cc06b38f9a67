// Checksums of the blocks of a file: quicker than a disk is read, so that a block can be checked when it is first used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace textmill::text {

// 64 bits of a block. Every step is a bijection of the state, so a change inside one word of 8 bytes always shows;
// it is no defence against somebody who means harm, which the manifest's sha256 is.
uint64_t block_checksum(std::span<const uint8_t> block);

// The checksum of each block of `block_bytes`, the last one shorter.
std::vector<uint64_t> block_checksums(std::span<const uint8_t> bytes, size_t block_bytes);

}  // namespace textmill::text
