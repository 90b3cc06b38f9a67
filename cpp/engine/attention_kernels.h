// Queries against one split of a text, over the lanes of a tier (kernels_impl.h).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "engine/kernels.h"
#include "engine/row_kernels.h"

namespace textmill::engine {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// What a thread keeps for the rows of a task.
struct AttentionScratch {
    float* scores;          // [rows][split]
    float* values;          // [rows][dim]: queries, scaled
    uint8_t* pairs;         // [rows][dim / 2]
    int8_t* numbers;        // [rows][dim]
    float* scales;          // [rows]
    int32_t* sums;          // [rows]
    uint8_t* weight_pairs;  // [rows][split / 2]: softmax weights as the products with values take them
};

TEXTMILL_FUSED AttentionScratch lay_out(uint8_t* at, size_t rows, size_t dim) {
    const auto take = [&](size_t num_bytes) {
        uint8_t* const part = at;
        at += (num_bytes + 63) / 64 * 64;
        return part;
    };
    AttentionScratch scratch{};
    scratch.scores = reinterpret_cast<float*>(take(rows * kSplitTokens * sizeof(float)));
    scratch.values = reinterpret_cast<float*>(take(rows * dim * sizeof(float)));
    scratch.pairs = take(rows * dim * sizeof(float));
    scratch.numbers = reinterpret_cast<int8_t*>(take(rows * dim));
    scratch.scales = reinterpret_cast<float*>(take(rows * sizeof(float)));
    scratch.sums = reinterpret_cast<int32_t*>(take(rows * sizeof(int32_t)));
    scratch.weight_pairs = take(rows * kSplitTokens * sizeof(float));
    return scratch;
}

// Tokens of the text that a row sees.
struct Seen {
    size_t begin;
    size_t end;
};

TEXTMILL_FUSED Seen seen_by(const AttentionTask& task, size_t row) {
    const size_t end = task.first_position + row / task.group + 1;
    return {task.window != 0 && end > task.window ? end - task.window : 0, end};
}

template <KvType kType>
TEXTMILL_FUSED void prepare_queries(const AttentionTask& task, size_t num_rows, size_t dim,
                                    const AttentionScratch& scratch) {
    for (size_t row = 0; row < num_rows; ++row) {
        const float* const query =
            task.queries + row / task.group * task.query_stride + row % task.group * task.head_dim;
        float* const values = scratch.values + row * dim;
        for (size_t d = 0; d < dim; ++d) {
            values[d] = d < task.head_dim ? query[d] * task.scale : 0.0f;
        }
        if constexpr (kType == KvType::kBF16) {
            to_pairs(values, dim, scratch.pairs + row * dim / 2 * sizeof(Pair));
        } else if constexpr (kType == KvType::kInt8) {
            const Rounded rounded = round_to_int8(values, dim, scratch.numbers + row * dim);
            scratch.scales[row] = rounded.scale;
            scratch.sums[row] = rounded.sum;
        }
    }
}

// Scores of R rows against the 16 keys of each of B blocks.
template <KvType kType, size_t R, size_t B>
TEXTMILL_FUSED void score_blocks(const uint8_t* const (&blocks)[B], size_t dim, size_t row,
                                 const AttentionScratch& scratch, Floats (&scores)[R][B]) {
    if constexpr (kType == KvType::kInt8) {
        Ints sums[R][B];
        for (size_t r = 0; r < R; ++r) {
            for (size_t b = 0; b < B; ++b) {
                sums[r][b] = all_ints(-kByteOffset * scratch.sums[row + r]);
            }
        }
        for (size_t d = 0; d < dim; d += 4) {
            Bytes keys[B];
            for (size_t b = 0; b < B; ++b) {
                keys[b] = load_bytes(blocks[b] + d * kBlockTokens);
            }
            for (size_t r = 0; r < R; ++r) {
                for (size_t b = 0; b < B; ++b) {
                    sums[r][b] = dot_offset_quads(sums[r][b], keys[b], scratch.numbers + (row + r) * dim + d);
                }
            }
        }
        for (size_t b = 0; b < B; ++b) {
            const Floats scales = load(reinterpret_cast<const float*>(blocks[b] + 2 * dim * kBlockTokens));
            for (size_t r = 0; r < R; ++r) {
                scores[r][b] = multiply(multiply(to_floats(sums[r][b]), scales), all(scratch.scales[row + r]));
            }
        }
        return;
    }
    for (auto& lanes : scores) {
        for (Floats& score : lanes) {
            score = zeros();
        }
    }
    if constexpr (kType == KvType::kBF16) {
        const Pair* const pairs = reinterpret_cast<const Pair*>(scratch.pairs) + row * dim / 2;
        for (size_t d = 0; d < dim / 2; ++d) {
            Bytes keys[B];
            for (size_t b = 0; b < B; ++b) {
                keys[b] = load_bytes(blocks[b] + d * 64);
            }
            for (size_t r = 0; r < R; ++r) {
                for (size_t b = 0; b < B; ++b) {
                    scores[r][b] = dot_pairs(scores[r][b], keys[b], pairs[r * dim / 2 + d]);
                }
            }
        }
    } else if constexpr (kType == KvType::kF32) {
        for (size_t d = 0; d < dim; ++d) {
            Floats keys[B];
            for (size_t b = 0; b < B; ++b) {
                keys[b] = load(reinterpret_cast<const float*>(blocks[b]) + d * kBlockTokens);
            }
            for (size_t r = 0; r < R; ++r) {
                const Floats query = all(scratch.values[(row + r) * dim + d]);
                for (size_t b = 0; b < B; ++b) {
                    scores[r][b] = multiply_add(keys[b], query, scores[r][b]);
                }
            }
        }
    }
}

// Where a number lies within a block, at most its size.
TEXTMILL_FUSED size_t within_block(size_t position, size_t first) {
    return position <= first ? 0 : position - first < kBlockTokens ? position - first : kBlockTokens;
}

// Minus infinity for those of 16 tokens that a row does not see.
TEXTMILL_FUSED Floats keep_seen(const AttentionTask& task, size_t row, size_t first, Floats scores) {
    const Seen seen = seen_by(task, row);
    return keep_between(scores, within_block(seen.begin, first), within_block(seen.end, first), kMinusInfinity);
}

// From `row` on, R rows at once while there are so many, against B blocks from token `first` of the text on.
template <KvType kType, size_t R, size_t B>
TEXTMILL_FUSED size_t score_many(const AttentionTask& task, size_t first, size_t dim, size_t row, size_t num_rows,
                                 const AttentionScratch& scratch) {
    const uint8_t* blocks[B];
    for (size_t b = 0; b < B; ++b) {
        blocks[b] = task.block_of(first + b * kBlockTokens);
    }
    for (; row + R <= num_rows; row += R) {
        Floats scores[R][B];
        score_blocks<kType, R, B>(blocks, dim, row, scratch, scores);
        for (size_t r = 0; r < R; ++r) {
            float* const out = scratch.scores + (row + r) * kSplitTokens + (first - task.split_begin);
            for (size_t b = 0; b < B; ++b) {
                const size_t token = first + b * kBlockTokens;
                store(out + b * kBlockTokens, keep_seen(task, row + r, token, scores[r][b]));
            }
        }
    }
    return row;
}

template <KvType kType, size_t B>
TEXTMILL_FUSED void score_rows(const AttentionTask& task, size_t first, size_t dim, size_t num_rows,
                               const AttentionScratch& scratch) {
    size_t row = score_many<kType, 8, B>(task, first, dim, 0, num_rows, scratch);
    row = score_many<kType, 3, B>(task, first, dim, row, num_rows, scratch);
    score_many<kType, 1, B>(task, first, dim, row, num_rows, scratch);
}

struct Weighed {
    float maximum;  // of the scores
    float sum;      // of the weights
};

// Scores to softmax weights, not yet divided by their sum.
template <KvType kType>
TEXTMILL_FUSED Weighed weigh(const AttentionTask& task, size_t dim, size_t row, size_t num_tokens,
                             const AttentionScratch& scratch) {
    float* const scores = scratch.scores + row * kSplitTokens;
    Floats largest = all(kMinusInfinity);
    for (size_t i = 0; i < num_tokens; i += 16) {
        largest = larger(largest, load(scores + i));
    }
    const float maximum = largest_of(largest);
    const Floats from = all(maximum == kMinusInfinity ? 0.0f : maximum);
    Floats sum = zeros();
    for (size_t i = 0; i < num_tokens; i += 16) {
        Floats weights = exp_of(subtract(load(scores + i), from));
        sum = add(sum, weights);
        if constexpr (kType == KvType::kInt8) {
            const uint8_t* const block = task.block_of(task.split_begin + i);
            weights = multiply(weights, load(reinterpret_cast<const float*>(block + 2 * dim * kBlockTokens) + 16));
        }
        if constexpr (kType == KvType::kBF16) {
            store_pairs(reinterpret_cast<Pair*>(scratch.weight_pairs) + (row * kSplitTokens + i) / 2, weights);
        } else {
            store(scores + i, weights);
        }
    }
    return {maximum, sum_of(sum)};
}

// What fold is to know of a row: that it sees nothing of the split follows from where it stands, and not from its
// scores, which may not be numbers.
TEXTMILL_FUSED Weighed as_partial(const AttentionTask& task, size_t row, const Weighed& weighed) {
    const Seen seen = seen_by(task, row);
    if (seen.end <= task.split_begin || seen.begin >= task.split_end) {
        return {kMinusInfinity, 0.0f};
    }
    if (weighed.maximum == kMinusInfinity || std::isnan(weighed.sum)) {
        constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
        return {kNan, kNan};
    }
    return weighed;
}

// R rows of weights times 16 * D dimensions of the values, from dimension `d` on.
template <KvType kType, size_t R, size_t D>
TEXTMILL_FUSED void gather_values(const AttentionTask& task, size_t num_tokens, size_t dim, size_t row, size_t d,
                                  const AttentionScratch& scratch) {
    Floats sums[R][D];
    for (auto& lanes : sums) {
        for (Floats& sum : lanes) {
            sum = zeros();
        }
    }
    constexpr size_t kStep = kType == KvType::kBF16 ? 2 : 1;
    constexpr size_t kHalf = kType == KvType::kF32 ? 4 : kType == KvType::kBF16 ? 2 : 1;
    for (size_t token = 0; token < num_tokens; token += kStep) {
        const uint8_t* const block = task.block_of(task.split_begin + token);
        const uint8_t* const values =
            block + dim * kBlockTokens * kHalf + (token % kBlockTokens * dim + d * kStep) * kHalf;
        for (size_t i = 0; i < D; ++i) {
            if constexpr (kType == KvType::kBF16) {
                const Bytes lanes = load_bytes(values + i * 64);
                for (size_t r = 0; r < R; ++r) {
                    const Pair* const pairs = reinterpret_cast<const Pair*>(scratch.weight_pairs);
                    sums[r][i] = dot_pairs(sums[r][i], lanes, pairs[((row + r) * kSplitTokens + token) / 2]);
                }
            } else {
                Floats lanes;
                if constexpr (kType == KvType::kF32) {
                    lanes = load(reinterpret_cast<const float*>(values) + i * 16);
                } else {
                    lanes = widen_int8(reinterpret_cast<const int8_t*>(values) + i * 16);
                }
                for (size_t r = 0; r < R; ++r) {
                    sums[r][i] = multiply_add(lanes, all(scratch.scores[(row + r) * kSplitTokens + token]), sums[r][i]);
                }
            }
        }
    }
    for (size_t r = 0; r < R; ++r) {
        float* const out = task.partials + (row + r) * (kPartialHead + dim) + kPartialHead + d;
        for (size_t i = 0; i < D; ++i) {
            store(out + i * 16, sums[r][i]);
        }
    }
}

// The values are read once for R rows.
template <KvType kType, size_t R>
TEXTMILL_FUSED void gather_rows(const AttentionTask& task, size_t num_tokens, size_t dim, size_t row,
                                const AttentionScratch& scratch) {
    constexpr size_t kAtOnce = 4;
    size_t d = 0;
    for (; d + 16 * kAtOnce <= dim; d += 16 * kAtOnce) {
        gather_values<kType, R, kAtOnce>(task, num_tokens, dim, row, d, scratch);
    }
    for (; d < dim; d += 16) {
        gather_values<kType, R, 1>(task, num_tokens, dim, row, d, scratch);
    }
}

// All rows from `row` on, R at once and then what is left at once.
template <KvType kType, size_t R>
TEXTMILL_FUSED void gather_all(const AttentionTask& task, size_t num_tokens, size_t dim, size_t row, size_t num_rows,
                               const AttentionScratch& scratch) {
    for (; row + R <= num_rows; row += R) {
        gather_rows<kType, R>(task, num_tokens, dim, row, scratch);
    }
    if constexpr (R > 1) {
        gather_all<kType, R - 1>(task, num_tokens, dim, row, num_rows, scratch);
    }
}

template <KvType kType>
void attend(const AttentionTask& task) {
    const size_t num_rows = task.num_tokens * task.group;
    const size_t dim = (task.head_dim + 15) / 16 * 16;
    const AttentionScratch scratch = lay_out(task.scratch, num_rows, dim);
    const size_t last_seen = seen_by(task, num_rows - 1).end;
    const size_t end = last_seen < task.split_end ? last_seen : task.split_end;
    // Tokens that the last row sees; a row before it has weights of zero from its own end on.
    const size_t num_tokens = end > task.split_begin ? end - task.split_begin : 0;
    prepare_queries<kType>(task, num_rows, dim, scratch);
    constexpr size_t kStep = kTileShape.score_blocks * kBlockTokens;
    size_t token = 0;
    for (; token + kStep <= round_up(num_tokens, kBlockTokens); token += kStep) {
        score_rows<kType, kTileShape.score_blocks>(task, task.split_begin + token, dim, num_rows, scratch);
    }
    for (; token < num_tokens; token += kBlockTokens) {
        score_rows<kType, 1>(task, task.split_begin + token, dim, num_rows, scratch);
    }
    const size_t num_even = (num_tokens + 1) / 2 * 2;  // the values of a pair lie side by side; the last may be zero
    for (size_t row = 0; row < num_rows; ++row) {
        float* const partial = task.partials + row * (kPartialHead + dim);
        const Weighed weighed = as_partial(task, row, weigh<kType>(task, dim, row, num_tokens, scratch));
        partial[0] = weighed.maximum;
        partial[1] = weighed.sum;
    }
    gather_all<kType, kTileShape.value_rows>(task, num_even, dim, 0, num_rows, scratch);
}

void fold(float* sum, const float* partial, size_t padded_dim) {
    if (partial[0] == kMinusInfinity) {
        return;
    }
    if (sum[0] == kMinusInfinity) {
        std::memcpy(sum, partial, (kPartialHead + padded_dim) * sizeof(float));
        return;
    }
    const float maximum = sum[0] > partial[0] ? sum[0] : partial[0];
    alignas(64) float scales[16] = {sum[0] - maximum, partial[0] - maximum};
    store(scales, exp_of(load(scales)));
    sum[0] = maximum;
    sum[1] = sum[1] * scales[0] + partial[1] * scales[1];
    for (size_t d = kPartialHead; d < kPartialHead + padded_dim; d += 16) {
        const Floats scaled = multiply(load(partial + d), all(scales[1]));
        store(sum + d, multiply_add(load(sum + d), all(scales[0]), scaled));
    }
}

void divide_by_sum(const float* sum, size_t dim, float* out) {
    const float* const values = sum + kPartialHead;
    size_t d = 0;
    for (; d + 16 <= dim; d += 16) {
        store(out + d, divide(load(values + d), all(sum[1])));
    }
    for (; d < dim; ++d) {
        out[d] = values[d] / sum[1];
    }
}

}  // namespace
}  // namespace textmill::engine
