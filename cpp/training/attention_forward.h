// Outputs and log-sums of a unit (attention_impl.h).
#pragma once

#include <cmath>
#include <limits>

#include "engine/exponential.h"
#include "training/attention_unit.h"

namespace textmill::training {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

template <typename Word>
struct ForwardScratch {
    Word* keys;      // transposed
    Word* values;    // interleaved
    Word* queries;   // rows
    float* scores;   // [kRows][kChunkStride]
    Word* weights;   // rows
    float* outputs;  // [kRows][columns], before division by sums of weights
    size_t num_bytes;

    ForwardScratch(const AttentionShape& shape, uint8_t* at) {
        const Sizes<Word> sizes(shape);
        Scratch scratch(at);
        keys = scratch.take<Word>(sizes.tokens * sizes.words);
        values = scratch.take<Word>(sizes.tokens / kPerWord<Word> * sizes.columns);
        queries = scratch.take<Word>(kRows * sizes.words);
        scores = scratch.take<float>(kRows * kChunkStride);
        weights = scratch.take<Word>(kRows * kChunkStride / kPerWord<Word>);
        outputs = scratch.take<float>(kRows * sizes.columns);
        num_bytes = scratch.used();
    }
};

// Softmax of kRows queries over chunks of keys, from one to the next: weights are relative to the largest score so far.
struct RunningSoftmax {
    float largest[kRows];
    float sums[kRows];

    RunningSoftmax() {
        std::fill_n(largest, kRows, kMinusInfinity);
        std::fill_n(sums, kRows, 0.0f);
    }
};

// Minus infinity for scores of keys from `begin` to `end` that a query does not see.
TEXTMILL_FUSED void hide_unseen(const SeenByRows& seen, size_t begin, size_t end, float* scores) {
    for (size_t key = begin; key < end; key += kLanes) {
        for (size_t r = 0; r < kRows && !seen.is_full(key); ++r) {
            float* const lanes = scores + r * kChunkStride + (key - begin);
            store(lanes, seen.keep(r, key, load(lanes), kMinusInfinity));
        }
    }
}

// Scores of a row, not scaled, to weights; returns what outputs so far are to be multiplied by.
template <typename Word>
TEXTMILL_FUSED float weigh_row(const float* scores, size_t num_keys, float scale, size_t r, RunningSoftmax& softmax,
                               Word* weights) {
    Floats largest = all(kMinusInfinity);
    for (size_t i = 0; i < num_keys; i += kLanes) {
        largest = larger(largest, load(scores + i));
    }
    const float most = std::max(softmax.largest[r], largest_of(largest) * scale);
    const float from = most == kMinusInfinity ? 0.0f : most;  // of a query that sees nothing here
    Floats sum = zeros();
    for (size_t i = 0; i < num_keys; i += kLanes) {
        const Floats lanes = exp_of(multiply_add(load(scores + i), all(scale), all(-from)));
        sum = add(sum, lanes);
        store_row(weights, i, lanes);
    }
    const float factor = softmax.largest[r] == kMinusInfinity ? 0.0f : std::exp(softmax.largest[r] - from);
    softmax.largest[r] = most;
    softmax.sums[r] = softmax.sums[r] * factor + sum_of(sum);
    return factor;
}

// Outputs, before division, of kRows queries that stand in `scratch`.
template <typename Word>
TEXTMILL_FUSED RunningSoftmax attend_rows(const ForwardScratch<Word>& scratch, const Sizes<Word>& sizes,
                                          const SeenByRows& seen, float scale) {
    RunningSoftmax softmax;
    for (size_t begin = seen.begin; begin < seen.end; begin += kChunkKeys) {
        const size_t end = std::min(begin + kChunkKeys, seen.end);
        const bool is_first = begin == seen.begin;
        multiply_rows<Word>({scratch.queries, sizes.words, 1},
                            {scratch.keys + begin * sizes.words, kLanes * sizes.words, kLanes}, sizes.words,
                            (end - begin) / kLanes, false, scratch.scores, kChunkStride);
        hide_unseen(seen, begin, end, scratch.scores);
        for (size_t r = 0; r < kRows; ++r) {
            const float factor = weigh_row(scratch.scores + r * kChunkStride, end - begin, scale, r, softmax,
                                           scratch.weights + r * (kChunkStride / kPerWord<Word>));
            for (size_t d = 0; d < sizes.columns && !is_first; d += kLanes) {
                float* const lanes = scratch.outputs + r * sizes.columns + d;
                store(lanes, multiply(load(lanes), all(factor)));
            }
        }
        multiply_rows<Word>({scratch.weights, kChunkStride / kPerWord<Word>, 1},
                            {scratch.values + begin / kPerWord<Word> * sizes.columns, kLanes, sizes.columns},
                            (end - begin) / kPerWord<Word>, sizes.columns / kLanes, !is_first, scratch.outputs,
                            sizes.columns);
    }
    return softmax;
}

template <typename Element, typename Word>
void forward_unit(const AttentionForward& task, size_t unit, uint8_t* memory) {
    const AttentionShape& shape = task.shape;
    const Sizes<Word> sizes(shape);
    const ForwardScratch<Word> scratch(shape, memory);
    const size_t row = unit / shape.num_kv_heads;
    const size_t kv_head = unit % shape.num_kv_heads;
    pack_transposed(matrix_of<Element>(shape, task.k, row, 0, kv_head, shape.num_tokens), sizes.tokens, sizes.words,
                    scratch.keys);
    pack_interleaved(matrix_of<Element>(shape, task.v, row, 0, kv_head, shape.num_tokens), sizes.tokens, sizes.columns,
                     scratch.values);
    for (size_t first = 0; first < shape.num_tokens; first += kRows) {
        const SeenByRows seen(shape, starts_of(shape, row), first);
        const size_t num_queries = std::min(kRows, shape.num_tokens - first);
        for (size_t head = kv_head * sizes.group; head < (kv_head + 1) * sizes.group; ++head) {
            pack_rows(matrix_of<Element>(shape, task.q, row, first, head, num_queries), kRows, sizes.words,
                      scratch.queries);
            const RunningSoftmax softmax = attend_rows(scratch, sizes, seen, shape.scale);
            for (size_t r = 0; r < num_queries; ++r) {
                store_scaled(scratch.outputs + r * sizes.columns, 1.0f / softmax.sums[r], shape.head_dim,
                             element_of<Element>(task.o, row, first + r, head));
                task.lse[(row * shape.num_tokens + first + r) * shape.num_heads + head] =
                    softmax.largest[r] + std::log(softmax.sums[r]);
            }
        }
    }
}

}  // namespace
}  // namespace textmill::training
