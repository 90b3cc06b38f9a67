// What forward and backward share: the heads of a unit, and which keys a group of queries sees (attention_impl.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "training/attention.h"
#include "training/attention_words.h"

namespace textmill::training {
namespace {

// Keys whose scores stand in memory at once: with 128 or 512 it is no faster.
constexpr size_t kChunkKeys = 256;

// Sizes of a problem, padded as products take them.
template <typename Word>
struct Sizes {
    size_t tokens;   // to whole panels
    size_t columns;  // of a head, to whole panels
    size_t words;    // of a head's row
    size_t group;    // query heads of a key-value head

    explicit Sizes(const AttentionShape& shape)
        : tokens(round_up_to(shape.num_tokens, kLanes)),
          columns(round_up_to(shape.head_dim, kLanes)),
          words(round_up_to(shape.head_dim, kPerWord<Word>) / kPerWord<Word>),
          group(shape.num_heads / shape.num_kv_heads) {}
};

// Not a power of two, so that the rows of a chunk do not fall on the same lines of the cache.
constexpr size_t kChunkStride = kChunkKeys + kLanes;

// Tokens of a row of the batch that a query sees.
struct Seen {
    size_t begin;
    size_t end;
};

// Which keys kRows queries see, as panels of keys are made: those from `begin` to `end` together, and all of those
// from `full_begin` to `full_end`.
struct SeenByRows {
    Seen rows[kRows];
    size_t begin = SIZE_MAX;
    size_t end = 0;
    size_t full_begin = 0;
    size_t full_end = SIZE_MAX;

    // Of the queries from `first` on, of which those that are not there see nothing.
    TEXTMILL_FUSED SeenByRows(const AttentionShape& shape, const int32_t* starts, size_t first) {
        for (size_t r = 0; r < kRows; ++r) {
            const size_t query = first + r;
            if (query >= shape.num_tokens) {
                rows[r] = {0, 0};
                full_end = 0;
                continue;
            }
            rows[r] = {starts == nullptr ? 0 : static_cast<size_t>(starts[query]), query + 1};
            begin = std::min(begin, rows[r].begin / kLanes * kLanes);
            end = std::max(end, round_up_to(rows[r].end, kLanes));
            full_begin = std::max(full_begin, rows[r].begin);
            full_end = std::min(full_end, rows[r].end);
        }
    }

    // Whether all of these queries see all of the panel that begins with `key`.
    TEXTMILL_FUSED bool is_full(size_t key) const { return full_begin <= key && key + kLanes <= full_end; }

    // `other` in place of what the query `r` does not see of the panel that begins with `key`.
    TEXTMILL_FUSED Floats keep(size_t r, size_t key, const Floats& x, float other) const {
        const auto within = [&](size_t token) { return std::min(token > key ? token - key : 0, kLanes); };
        return keep_between(x, within(rows[r].begin), within(rows[r].end), other);
    }
};

template <typename Element>
TEXTMILL_FUSED Element* element_of(const HeadsTensor& heads, size_t row, size_t token, size_t head) {
    return static_cast<Element*>(heads.data) + static_cast<ptrdiff_t>(row) * heads.row_stride +
           static_cast<ptrdiff_t>(token) * heads.token_stride + static_cast<ptrdiff_t>(head) * heads.head_stride;
}

// `num_tokens` of a head, from `token` on.
template <typename Element>
TEXTMILL_FUSED Matrix<Element> matrix_of(const AttentionShape& shape, const HeadsTensor& heads, size_t row,
                                         size_t token, size_t head, size_t num_tokens) {
    return {element_of<Element>(heads, row, token, head), heads.token_stride, num_tokens, shape.head_dim};
}

// A row of `factor` times the padded `values` to a head's elements.
template <typename Element>
TEXTMILL_FUSED void store_scaled(const float* values, float factor, size_t head_dim, Element* out) {
    each_lanes(head_dim, [&](size_t d, size_t num)
                             TEXTMILL_LAMBDA_FUSED { put(out + d, num, multiply(load(values + d), all(factor))); });
}

TEXTMILL_FUSED const int32_t* starts_of(const AttentionShape& shape, size_t row) {
    return shape.starts == nullptr ? nullptr : shape.starts + row * shape.num_tokens;
}

}  // namespace
}  // namespace textmill::training
