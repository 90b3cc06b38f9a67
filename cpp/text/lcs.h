// How much of one sequence is found in another: the longest common subsequence of words, the matching blocks of
// characters, and where in the other they lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace textmill::text {

// A match of an item in a region: how much of the item, and the elements [begin, end) of the region that it lies in.
struct Overlap {
    size_t length = 0;
    size_t begin = 0;
    size_t end = 0;
};

// The length of the longest common subsequence, and the end of the shortest beginning of the region that has it, with
// the last place where it can begin there. Bit-parallel (Hyyrö, "Bit-parallel LCS-length computation revisited", 2004):
// O(region × item / 64).
Overlap longest_common_subsequence(std::span<const uint32_t> item, std::span<const uint32_t> region);

// The sum of the lengths of difflib's matching blocks (SequenceMatcher(None, region, item, autojunk=False)) that are
// longer than `shorter_dropped`, and what they span.
Overlap matching_blocks(std::span<const uint32_t> item, std::span<const uint32_t> region, size_t shorter_dropped);

}  // namespace textmill::text
