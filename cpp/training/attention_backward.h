// Gradients of a unit (attention_impl.h). With P the softmax of scores S = scale * q k^T, and `.` rows' dot products:
//   dV = P^T dO    dP = dO V^T    dS = P * (dP - dO . O)    dQ = scale * dS K    dK = scale * dS^T Q
#pragma once

#include "engine/exponential.h"
#include "training/attention_unit.h"

namespace textmill::training {
namespace {

// Queries whose weights stand in memory at once.
constexpr size_t kBlockQueries = 64;
constexpr size_t kChunkPanels = kChunkKeys / kLanes;

template <typename Word>
struct BackwardScratch {
    Word* keys;    // transposed
    Word* values;  // transposed
    Word* interleaved_keys;
    float* d_keys;    // [tokens][columns], before scaling
    float* d_values;  // [tokens][columns]
    Word* queries;    // rows of a block
    Word* interleaved_queries;
    Word* d_outputs;  // rows of a block
    Word* interleaved_d_outputs;
    float* d_queries;     // [kBlockQueries][columns], before scaling
    float* dots;          // [kBlockQueries]: dO . O
    float* log_sums;      // [kBlockQueries]
    float* scores;        // [kRows][kChunkStride]
    float* d_weights;     // [kRows][kChunkStride]: dP
    Word* score_rows;     // dS of kRows queries, rows
    Word* score_panels;   // dS: panels of keys, each interleaved queries of a block
    Word* weight_panels;  // P: the same
    size_t num_bytes;

    BackwardScratch(const AttentionShape& shape, uint8_t* at) {
        const Sizes<Word> sizes(shape);
        Scratch scratch(at);
        const size_t interleaved = sizes.columns / kPerWord<Word>;  // words of a token
        keys = scratch.take<Word>(sizes.tokens * sizes.words);
        values = scratch.take<Word>(sizes.tokens * sizes.words);
        interleaved_keys = scratch.take<Word>(sizes.tokens * interleaved);
        d_keys = scratch.take<float>(sizes.tokens * sizes.columns);
        d_values = scratch.take<float>(sizes.tokens * sizes.columns);
        queries = scratch.take<Word>(kBlockQueries * sizes.words);
        interleaved_queries = scratch.take<Word>(kBlockQueries * interleaved);
        d_outputs = scratch.take<Word>(kBlockQueries * sizes.words);
        interleaved_d_outputs = scratch.take<Word>(kBlockQueries * interleaved);
        d_queries = scratch.take<float>(kBlockQueries * sizes.columns);
        dots = scratch.take<float>(kBlockQueries);
        log_sums = scratch.take<float>(kBlockQueries);
        scores = scratch.take<float>(kRows * kChunkStride);
        d_weights = scratch.take<float>(kRows * kChunkStride);
        score_rows = scratch.take<Word>(kRows * kRowStride);
        score_panels = scratch.take<Word>(kChunkPanels * kPanelWords);
        weight_panels = scratch.take<Word>(kChunkPanels * kPanelWords);
        num_bytes = scratch.used();
    }

    static constexpr size_t kRowStride = kChunkStride / kPerWord<Word>;
    static constexpr size_t kPanelWords = kBlockQueries / kPerWord<Word> * kLanes;
};

// Groups of kRows queries of a block that have weights in a panel.
struct Groups {
    size_t begin = SIZE_MAX;
    size_t end = 0;
};

// Where a group of kRows queries is, in its block.
struct Group {
    size_t number;
    SeenByRows seen;
};

// P and dS of a group against the keys from `begin` to `end`, in a chunk that begins with `chunk`.
template <typename Word>
TEXTMILL_FUSED void weigh_again(const BackwardScratch<Word>& scratch, size_t num_words, const Group& group, float scale,
                                size_t chunk, size_t begin, size_t end) {
    const size_t first = group.number * kRows;
    const auto multiply_keys = [&](const Word* rows, const Word* panels, float* out) TEXTMILL_LAMBDA_FUSED {
        multiply_rows<Word>({rows + first * num_words, num_words, 1},
                            {panels + begin * num_words, kLanes * num_words, kLanes}, num_words, (end - begin) / kLanes,
                            false, out, kChunkStride);
    };
    multiply_keys(scratch.queries, scratch.keys, scratch.scores);
    multiply_keys(scratch.d_outputs, scratch.values, scratch.d_weights);
    for (size_t key = begin; key < end; key += kLanes) {
        const bool is_full = group.seen.is_full(key);
        const size_t panel = (key - chunk) / kLanes * BackwardScratch<Word>::kPanelWords;
        for (size_t r = 0; r < kRows; r += 2) {
            Floats weights[2], d_scores[2];
            for (size_t i = 0; i < 2; ++i) {
                const size_t at = (r + i) * kChunkStride + (key - begin);
                const size_t query = first + r + i;
                weights[i] = exp_of(multiply_add(load(scratch.scores + at), all(scale), all(-scratch.log_sums[query])));
                d_scores[i] = multiply(weights[i], subtract(load(scratch.d_weights + at), all(scratch.dots[query])));
                if (!is_full) {
                    weights[i] = group.seen.keep(r + i, key, weights[i], 0.0f);
                    d_scores[i] = group.seen.keep(r + i, key, d_scores[i], 0.0f);
                }
                store_row(scratch.score_rows + (r + i) * BackwardScratch<Word>::kRowStride, key - begin, d_scores[i]);
            }
            const size_t words = panel + (first + r) / kPerWord<Word> * kLanes;
            store_interleaved(scratch.weight_panels + words, weights[0], weights[1]);
            store_interleaved(scratch.score_panels + words, d_scores[0], d_scores[1]);
        }
    }
}

// Adds what the groups of a block have in a panel of keys to the gradients of those keys and values.
template <typename Word>
TEXTMILL_FUSED void add_panel(const BackwardScratch<Word>& scratch, const Sizes<Word>& sizes, const Groups& groups,
                              size_t panel, size_t key) {
    const size_t first = groups.begin * kRows / kPerWord<Word>;  // word of a panel
    const size_t num_steps = (groups.end - groups.begin) * kRows / kPerWord<Word>;
    const auto add = [&](const Word* panels, const Word* columns, float* out) TEXTMILL_LAMBDA_FUSED {
        const Word* const words = panels + panel * BackwardScratch<Word>::kPanelWords + first * kLanes;
        for (size_t r = 0; r < kLanes; r += kRows) {
            multiply_rows<Word>({words + r, 1, kLanes}, {columns + first * sizes.columns, kLanes, sizes.columns},
                                num_steps, sizes.columns / kLanes, true, out + (key + r) * sizes.columns,
                                sizes.columns);
        }
    };
    add(scratch.weight_panels, scratch.interleaved_d_outputs, scratch.d_values);
    add(scratch.score_panels, scratch.interleaved_queries, scratch.d_keys);
}

// Queries of a block and what belongs to them.
template <typename Element, typename Word>
TEXTMILL_FUSED void read_block(const AttentionBackward& task, const BackwardScratch<Word>& scratch,
                               const Sizes<Word>& sizes, size_t row, size_t head, size_t first, size_t num_queries) {
    const AttentionShape& shape = task.shape;
    const size_t padded = round_up_to(num_queries, kRows);
    const auto queries = matrix_of<Element>(shape, task.q, row, first, head, num_queries);
    const auto d_outputs = matrix_of<Element>(shape, task.d_o, row, first, head, num_queries);
    pack_rows(queries, padded, sizes.words, scratch.queries);
    pack_interleaved(queries, padded, sizes.columns, scratch.interleaved_queries);
    pack_rows(d_outputs, padded, sizes.words, scratch.d_outputs);
    pack_interleaved(d_outputs, padded, sizes.columns, scratch.interleaved_d_outputs);
    for (size_t r = 0; r < padded; ++r) {
        const bool is_there = r < num_queries;
        scratch.dots[r] =
            is_there ? dot_of(d_outputs.row(r), element_of<Element>(task.o, row, first + r, head), shape.head_dim)
                     : 0.0f;
        scratch.log_sums[r] = is_there ? task.lse[(row * shape.num_tokens + first + r) * shape.num_heads + head] : 0.0f;
    }
}

// Gradients of a block of queries, and what it adds to those of keys and values.
template <typename Element, typename Word>
TEXTMILL_FUSED void backward_block(const AttentionBackward& task, const BackwardScratch<Word>& scratch,
                                   const Sizes<Word>& sizes, size_t row, size_t head, size_t first) {
    const AttentionShape& shape = task.shape;
    const size_t num_queries = std::min(kBlockQueries, shape.num_tokens - first);
    const size_t num_groups = round_up_to(num_queries, kRows) / kRows;
    read_block<Element>(task, scratch, sizes, row, head, first, num_queries);
    const auto group_of = [&](size_t number) TEXTMILL_LAMBDA_FUSED {
        return Group{number, SeenByRows(shape, starts_of(shape, row), first + number * kRows)};
    };
    std::fill_n(scratch.d_queries, num_groups * kRows * sizes.columns, 0.0f);
    const size_t end_of_block = group_of(num_groups - 1).seen.end;
    for (size_t chunk = group_of(0).seen.begin; chunk < end_of_block; chunk += kChunkKeys) {
        Groups groups_of_panels[kChunkPanels];
        for (size_t number = 0; number < num_groups; ++number) {
            const Group group = group_of(number);
            const size_t begin = std::max(chunk, group.seen.begin);
            const size_t end = std::min(chunk + kChunkKeys, group.seen.end);
            if (begin >= end) {
                continue;
            }
            weigh_again(scratch, sizes.words, group, shape.scale, chunk, begin, end);
            multiply_rows<Word>(
                {scratch.score_rows, BackwardScratch<Word>::kRowStride, 1},
                {scratch.interleaved_keys + begin / kPerWord<Word> * sizes.columns, kLanes, sizes.columns},
                (end - begin) / kPerWord<Word>, sizes.columns / kLanes, true,
                scratch.d_queries + number * kRows * sizes.columns, sizes.columns);
            for (size_t panel = (begin - chunk) / kLanes; panel < (end - chunk) / kLanes; ++panel) {
                Groups& groups = groups_of_panels[panel];
                groups = {std::min(groups.begin, number), number + 1};
            }
        }
        for (size_t panel = 0; panel < kChunkPanels; ++panel) {
            if (groups_of_panels[panel].end != 0) {
                add_panel(scratch, sizes, groups_of_panels[panel], panel, chunk + panel * kLanes);
            }
        }
    }
    for (size_t r = 0; r < num_queries; ++r) {
        store_scaled(scratch.d_queries + r * sizes.columns, shape.scale, shape.head_dim,
                     element_of<Element>(task.d_q, row, first + r, head));
    }
}

template <typename Element, typename Word>
void backward_unit(const AttentionBackward& task, size_t unit, uint8_t* memory) {
    const AttentionShape& shape = task.shape;
    const Sizes<Word> sizes(shape);
    const BackwardScratch<Word> scratch(shape, memory);
    const size_t row = unit / shape.num_kv_heads;
    const size_t kv_head = unit % shape.num_kv_heads;
    const auto keys = matrix_of<Element>(shape, task.k, row, 0, kv_head, shape.num_tokens);
    pack_transposed(keys, sizes.tokens, sizes.words, scratch.keys);
    pack_interleaved(keys, sizes.tokens, sizes.columns, scratch.interleaved_keys);
    pack_transposed(matrix_of<Element>(shape, task.v, row, 0, kv_head, shape.num_tokens), sizes.tokens, sizes.words,
                    scratch.values);
    std::fill_n(scratch.d_keys, sizes.tokens * sizes.columns, 0.0f);
    std::fill_n(scratch.d_values, sizes.tokens * sizes.columns, 0.0f);
    for (size_t head = kv_head * sizes.group; head < (kv_head + 1) * sizes.group; ++head) {
        for (size_t first = 0; first < shape.num_tokens; first += kBlockQueries) {
            backward_block<Element>(task, scratch, sizes, row, head, first);
        }
    }
    for (size_t token = 0; token < shape.num_tokens; ++token) {
        store_scaled(scratch.d_keys + token * sizes.columns, shape.scale, shape.head_dim,
                     element_of<Element>(task.d_k, row, token, kv_head));
        store_scaled(scratch.d_values + token * sizes.columns, 1.0f, shape.head_dim,
                     element_of<Element>(task.d_v, row, token, kv_head));
    }
}

}  // namespace
}  // namespace textmill::training
