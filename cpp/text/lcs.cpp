#include "text/lcs.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

namespace textmill::text {
namespace {

// For each element of an item, the positions where it stands, as bits.
class PositionBits {
  public:
    explicit PositionBits(size_t item_size) : num_words_((item_size + 63) / 64) {}

    void add(uint32_t element, size_t position) {
        const auto [found, is_new] = rows_.try_emplace(element, bits_.size());
        if (is_new) {
            bits_.resize(bits_.size() + num_words_);
        }
        bits_[found->second + position / 64] |= uint64_t{1} << (position % 64);
    }

    // nullptr where the item does not have it.
    const uint64_t* of(uint32_t element) const {
        const auto found = rows_.find(element);
        return found == rows_.end() ? nullptr : &bits_[found->second];
    }

    size_t num_words() const { return num_words_; }

  private:
    size_t num_words_;
    std::unordered_map<uint32_t, size_t> rows_;
    std::vector<uint64_t> bits_;
};

struct Prefix {
    size_t length;  // of the longest common subsequence with the whole region
    size_t end;     // of the shortest beginning of the region that has one as long
};

// `element_of(i)` is the region's i-th element of `size`.
template <typename ElementOf>
Prefix shortest_prefix(const PositionBits& positions, size_t size, ElementOf&& element_of) {
    std::vector<uint64_t> row(positions.num_words(), ~uint64_t{0});  // zeros count the length
    Prefix prefix{0, 0};
    for (size_t i = 0; i < size; ++i) {
        const uint64_t* const matches = positions.of(element_of(i));
        if (matches == nullptr) {
            continue;
        }
        uint64_t carry = 0;
        size_t length = 0;
        for (size_t w = 0; w < row.size(); ++w) {
            const uint64_t matched = row[w] & matches[w];
            const uint64_t partial = row[w] + matched;
            const uint64_t sum = partial + carry;
            carry = static_cast<uint64_t>(partial < matched) | static_cast<uint64_t>(sum < partial);
            row[w] = sum | (row[w] & ~matched);
            length += static_cast<size_t>(std::popcount(~row[w]));
        }
        if (length > prefix.length) {
            prefix = {length, i + 1};
        }
    }
    return prefix;
}

struct Block {
    size_t region_at;
    size_t item_at;
    size_t size;
};

struct Stretch {
    size_t region_begin;
    size_t region_end;
    size_t item_begin;
    size_t item_end;
};

// Finds the longest blocks as difflib does: the longest, of these the first in the region, of these the first in the
// item.
class BlockFinder {
  public:
    BlockFinder(std::span<const uint32_t> item, std::span<const uint32_t> region)
        : region_(region), lengths_(item.size() + 1), before_(item.size() + 1) {
        for (size_t j = 0; j < item.size(); ++j) {
            positions_[item[j]].push_back(static_cast<uint32_t>(j));
        }
    }

    Block longest(const Stretch& in) {
        Block best{in.region_begin, in.item_begin, 0};
        std::span<const uint32_t> set;  // the positions whose lengths are not zero
        for (size_t i = in.region_begin; i < in.region_end; ++i) {
            const std::span<const uint32_t> places = places_of(region_[i], in);
            for (const uint32_t j : places) {
                const uint32_t length = before_[j] + 1;
                lengths_[j + 1] = length;
                if (length > best.size) {
                    best = {i + 1 - length, j + 1 - length, length};
                }
            }
            for (const uint32_t j : set) {
                before_[j + 1] = 0;
            }
            std::swap(lengths_, before_);
            set = places;
        }
        for (const uint32_t j : set) {
            before_[j + 1] = 0;
        }
        return best;
    }

  private:
    std::span<const uint32_t> places_of(uint32_t element, const Stretch& in) const {
        const auto found = positions_.find(element);
        if (found == positions_.end()) {
            return {};
        }
        const auto& all = found->second;
        const auto first = std::lower_bound(all.begin(), all.end(), in.item_begin);
        return {first, std::lower_bound(first, all.end(), in.item_end)};
    }

    std::span<const uint32_t> region_;
    std::unordered_map<uint32_t, std::vector<uint32_t>> positions_;
    std::vector<uint32_t> lengths_;  // entry j + 1: of the block that ends with item[j] and region[i]
    std::vector<uint32_t> before_;   // the same for region[i - 1]
};

}  // namespace

Overlap longest_common_subsequence(std::span<const uint32_t> item, std::span<const uint32_t> region) {
    PositionBits forwards(item.size());
    for (size_t j = 0; j < item.size(); ++j) {
        forwards.add(item[j], j);
    }
    const Prefix prefix = shortest_prefix(forwards, region.size(), [region](size_t i) { return region[i]; });
    if (prefix.length == 0) {
        return {};
    }
    PositionBits backwards(item.size());
    for (size_t j = 0; j < item.size(); ++j) {
        backwards.add(item[item.size() - 1 - j], j);
    }
    const Prefix suffix =
        shortest_prefix(backwards, prefix.end, [region, prefix](size_t i) { return region[prefix.end - 1 - i]; });
    return {prefix.length, prefix.end - suffix.end, prefix.end};
}

Overlap matching_blocks(std::span<const uint32_t> item, std::span<const uint32_t> region, size_t shorter_dropped) {
    BlockFinder finder(item, region);
    Overlap overlap{0, region.size(), 0};
    std::vector<Stretch> waiting{{0, region.size(), 0, item.size()}};
    while (!waiting.empty()) {
        const Stretch in = waiting.back();
        waiting.pop_back();
        const Block block = finder.longest(in);
        if (block.size <= shorter_dropped) {
            continue;  // no block of what lies beside it is longer
        }
        overlap.length += block.size;
        overlap.begin = std::min(overlap.begin, block.region_at);
        overlap.end = std::max(overlap.end, block.region_at + block.size);
        waiting.push_back({in.region_begin, block.region_at, in.item_begin, block.item_at});
        waiting.push_back({block.region_at + block.size, in.region_end, block.item_at + block.size, in.item_end});
    }
    return overlap.length == 0 ? Overlap{} : overlap;
}

}  // namespace textmill::text
