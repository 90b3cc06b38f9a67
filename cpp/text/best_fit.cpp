#include "text/best_fit.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <numeric>
#include <stdexcept>
#include <string>

namespace textmill::text {
namespace {

constexpr size_t kWordBits = 64;
constexpr size_t kNone = SIZE_MAX;

// Numbers below a bound, and the next one of them: a bit each, and a bit for each word of the level below.
class NumberSet {
  public:
    explicit NumberSet(size_t bound) {
        size_t num_words = bound;
        do {
            num_words = (num_words + kWordBits - 1) / kWordBits;
            levels_.emplace_back(num_words, 0);
        } while (num_words > 1);
    }

    void insert(size_t number) {
        for (auto& level : levels_) {
            level[number / kWordBits] |= uint64_t{1} << (number % kWordBits);
            number /= kWordBits;
        }
    }

    void erase(size_t number) {
        for (auto& level : levels_) {
            level[number / kWordBits] &= ~(uint64_t{1} << (number % kWordBits));
            if (level[number / kWordBits] != 0) {
                return;
            }
            number /= kWordBits;
        }
    }

    // The least number in the set that is not below `number`, or kNone.
    size_t next(size_t number) const {
        for (size_t level = 0; level < levels_.size(); ++level) {
            const size_t word = number / kWordBits;
            if (word >= levels_[level].size()) {
                return kNone;
            }
            const uint64_t rest = levels_[level][word] >> (number % kWordBits);
            if (rest != 0) {
                return descend(level, number + static_cast<size_t>(std::countr_zero(rest)));
            }
            number = word + 1;
        }
        return kNone;
    }

  private:
    size_t descend(size_t level, size_t number) const {
        while (level-- > 0) {
            number = number * kWordBits + static_cast<size_t>(std::countr_zero(levels_[level][number]));
        }
        return number;
    }

    std::vector<std::vector<uint64_t>> levels_;
};

// Rows that are not full, by the space that is left in them; of equal ones the last to come is the first to go.
class OpenRows {
  public:
    explicit OpenRows(size_t context) : spaces_(context + 1), heads_(context + 1, kNone) {}

    void put(size_t row, size_t space) {
        if (space == 0) {
            return;
        }
        below_.resize(std::max(below_.size(), row + 1), kNone);
        below_[row] = heads_[space];
        heads_[space] = row;
        spaces_.insert(space);
    }

    // Takes a row with at least `size` space out; returns its space, or kNone where there is no such row.
    size_t take(size_t size, size_t& row) {
        const size_t space = spaces_.next(size);
        if (space == kNone) {
            return kNone;
        }
        row = heads_[space];
        heads_[space] = below_[row];
        if (heads_[space] == kNone) {
            spaces_.erase(space);
        }
        return space;
    }

  private:
    NumberSet spaces_;
    std::vector<size_t> heads_;
    std::vector<size_t> below_;
};

// What is left of each document when its full pieces are cut off, with its overhead; 0 where nothing is.
std::vector<size_t> cut_full_pieces(std::span<const int64_t> lengths, std::span<const uint8_t> overheads,
                                    int64_t context, PackedRows& rows) {
    std::vector<size_t> sizes(lengths.size(), 0);
    for (size_t document = 0; document < lengths.size(); ++document) {
        const int64_t room = context - overheads[document];
        if (room < 1 || lengths[document] < 0) {
            throw std::invalid_argument("document " + std::to_string(document) + " has " +
                                        std::to_string(lengths[document]) + " tokens, and a row room for " +
                                        std::to_string(room) + " of them");
        }
        int64_t offset = 0;
        for (; lengths[document] - offset >= room; offset += room) {
            rows.documents.push_back(static_cast<int64_t>(document));
            rows.offsets.push_back(offset);
            rows.lengths.push_back(room);
            rows.row_pieces.push_back(static_cast<int64_t>(rows.documents.size()));
        }
        if (offset < lengths[document]) {
            sizes[document] = static_cast<size_t>(lengths[document] - offset + overheads[document]);
        }
    }
    return sizes;
}

// Documents that have something left, the largest first, equal ones in their order.
std::vector<size_t> by_falling_size(const std::vector<size_t>& sizes, size_t context) {
    std::vector<size_t> places(context + 2, 0);
    for (const size_t size : sizes) {
        ++places[context - size + 1];
    }
    const size_t num_left = sizes.size() - places[context + 1];
    std::partial_sum(places.begin(), places.end(), places.begin());
    std::vector<size_t> order(num_left);
    for (size_t document = 0; document < sizes.size(); ++document) {
        if (sizes[document] > 0) {
            order[places[context - sizes[document]]++] = document;
        }
    }
    return order;
}

}  // namespace

PackedRows pack_best_fit(std::span<const int64_t> lengths, std::span<const uint8_t> overheads, int64_t context) {
    if (overheads.size() != lengths.size() || context < 1) {
        throw std::invalid_argument("lengths and overheads must be as many, and a row 1 token long or more");
    }
    PackedRows rows;
    rows.row_pieces.push_back(0);
    const std::vector<size_t> sizes = cut_full_pieces(lengths, overheads, context, rows);
    const auto width = static_cast<size_t>(context);

    OpenRows open(width);
    std::vector<size_t> row_of(sizes.size(), kNone);
    std::vector<size_t> num_pieces;
    for (const size_t document : by_falling_size(sizes, width)) {
        size_t row = num_pieces.size();
        size_t space = open.take(sizes[document], row);
        if (space == kNone) {
            space = width;
            num_pieces.push_back(0);
        }
        row_of[document] = row;
        ++num_pieces[row];
        open.put(row, space - sizes[document]);
    }

    std::vector<size_t> places(num_pieces.size());
    size_t num_before = rows.documents.size();
    for (size_t row = 0; row < num_pieces.size(); ++row) {
        places[row] = num_before;
        num_before += num_pieces[row];
        rows.row_pieces.push_back(static_cast<int64_t>(num_before));
    }
    rows.documents.resize(num_before);
    rows.offsets.resize(num_before);
    rows.lengths.resize(num_before);
    for (size_t document = 0; document < sizes.size(); ++document) {
        if (row_of[document] != kNone) {
            const size_t place = places[row_of[document]]++;
            const auto length = static_cast<int64_t>(sizes[document]) - overheads[document];
            rows.documents[place] = static_cast<int64_t>(document);
            rows.offsets[place] = lengths[document] - length;
            rows.lengths[place] = length;
        }
    }
    return rows;
}

}  // namespace textmill::text
