// Outputs and log-sums of a unit (attention_impl.h).
#pragma once

#include <cmath>
#include <limits>

#include "engine/exponential.h"
#include "training/attention_unit.h"

namespace textmill::training {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
// Not a power of two, so that rows do not fall on the same lines of the cache.
constexpr size_t kScoreStride = kChunkKeys + kLanes;

template <typename Word>
struct ForwardScratch {
    Word* keys;      // transposed
    Word* values;    // interleaved
    Word* queries;   // rows
    float* scores;   // [kRows][kScoreStride]
    Word* weights;   // rows
    float* outputs;  // [kRows][columns], before division by sums of weights
    size_t num_bytes;

    ForwardScratch(const AttentionShape& shape, uint8_t* at) {
        const Sizes<Word> sizes(shape);
        Scratch scratch(at);
        keys = scratch.take<Word>(sizes.tokens * sizes.words);
        values = scratch.take<Word>(sizes.tokens / kPerWord<Word> * sizes.columns);
        queries = scratch.take<Word>(kRows * sizes.words);
        scores = scratch.take<float>(kRows * kScoreStride);
        weights = scratch.take<Word>(kRows * kScoreStride / kPerWord<Word>);
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

// Scores of the keys from `begin` to `end`, not scaled; `largest` are those of each lane.
template <typename Word>
TEXTMILL_FUSED void score_chunk(const ForwardScratch<Word>& scratch, size_t num_words, const SeenByRows& seen,
                                size_t begin, size_t end, Floats (&largest)[kRows]) {
    const Operand<Word> queries{scratch.queries, num_words, 1};
    each_panels((end - begin) / kLanes, [&]<size_t C>(size_t panel) TEXTMILL_LAMBDA_FUSED {
        const size_t first = begin + panel * kLanes;
        Floats sums[kRows][C];
        for (auto& lanes : sums) {
            for (Floats& sum : lanes) {
                sum = zeros();
            }
        }
        multiply_tile<C, Word>(queries, {scratch.keys + first * num_words, kLanes * num_words, kLanes}, num_words,
                               sums);
        for (size_t c = 0; c < C; ++c) {
            const size_t key = first + c * kLanes;
            const bool is_full = seen.is_full(key);
            for (size_t r = 0; r < kRows; ++r) {
                const Floats scores = is_full ? sums[r][c] : seen.keep(r, key, sums[r][c], kMinusInfinity);
                largest[r] = larger(largest[r], scores);
                store(scratch.scores + r * kScoreStride + (key - begin), scores);
            }
        }
    });
}

// Scores to weights; returns what outputs so far are to be multiplied by.
template <typename Word>
TEXTMILL_FUSED float weigh_row(const ForwardScratch<Word>& scratch, size_t r, size_t num_keys, float scale,
                               const Floats& largest, RunningSoftmax& softmax) {
    const float most = std::max(softmax.largest[r], largest_of(largest) * scale);
    const float from = most == kMinusInfinity ? 0.0f : most;  // of a query that sees nothing here
    const float* const scores = scratch.scores + r * kScoreStride;
    Word* const weights = scratch.weights + r * (kScoreStride / kPerWord<Word>);
    Floats sum = zeros();
    for (size_t i = 0; i < num_keys; i += kLanes) {
        const Floats lanes = exp_of(multiply_add(load(scores + i), all(scale), all(-from)));
        sum = add(sum, lanes);
        store_row(weights, i, lanes);
    }
    const float factor = std::exp(softmax.largest[r] - from);
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
        Floats largest[kRows];
        std::fill_n(largest, kRows, all(kMinusInfinity));
        score_chunk(scratch, sizes.words, seen, begin, end, largest);
        for (size_t r = 0; r < kRows; ++r) {
            const float factor = weigh_row(scratch, r, end - begin, scale, largest[r], softmax);
            for (size_t d = 0; d < sizes.columns && !is_first; d += kLanes) {
                float* const lanes = scratch.outputs + r * sizes.columns + d;
                store(lanes, multiply(load(lanes), all(factor)));
            }
        }
        const Operand<Word> weights{scratch.weights, kScoreStride / kPerWord<Word>, 1};
        const Word* const values = scratch.values + begin / kPerWord<Word> * sizes.columns;
        multiply_rows<Word>(weights, {values, kLanes, sizes.columns}, (end - begin) / kPerWord<Word>,
                            sizes.columns / kLanes, is_first, scratch.outputs, sizes.columns);
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
