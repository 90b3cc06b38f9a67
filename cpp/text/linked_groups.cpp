#include "text/linked_groups.h"

#include <algorithm>
#include <numeric>

namespace textmill::text {

std::vector<int64_t> linked_groups(std::span<const int64_t> links, size_t num_nodes) {
    std::vector<int64_t> parents(num_nodes);
    std::iota(parents.begin(), parents.end(), 0);
    const auto root_of = [&](int64_t node) {
        while (parents[static_cast<size_t>(node)] != node) {
            int64_t& parent = parents[static_cast<size_t>(node)];
            parent = parents[static_cast<size_t>(parent)];  // halves the way
            node = parent;
        }
        return node;
    };
    for (size_t i = 0; i + 1 < links.size(); i += 2) {
        const auto [least, other] = std::minmax({root_of(links[i]), root_of(links[i + 1])});
        parents[static_cast<size_t>(other)] = least;
    }
    // A parent is never behind its child, so one pass in order is enough.
    for (int64_t& parent : parents) {
        parent = parents[static_cast<size_t>(parent)];
    }
    return parents;
}

}  // namespace textmill::text
