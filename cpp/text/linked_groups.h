// The connected parts of a graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace textmill::text {

// For each of `num_nodes` nodes, the least node that links lead to; links are pairs, one after the other, in any order.
std::vector<int64_t> linked_groups(std::span<const int64_t> links, size_t num_nodes);

}  // namespace textmill::text
