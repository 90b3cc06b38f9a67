// Attention on AMX's tiles, over keys and values in bf16: a block's keys, and its values, lie as tiles take them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/amx_tiles.h"
#include "engine/attention_kernels.h"

namespace textmill::engine {
namespace {

// Rows that lie a whole page apart would share few places of the first cache.
constexpr size_t kScoreStride = kSplitTokens + 16;   // floats
constexpr size_t kWeightStride = kSplitTokens + 32;  // bf16
static_assert(kScoreStride * sizeof(float) + kWeightStride * 2 <= 2 * kSplitTokens * sizeof(float));

struct TileScratch {
    float* scores;      // [rows][kScoreStride]
    uint16_t* weights;  // [rows][kWeightStride]: softmax weights in bf16
    uint16_t* queries;  // [rows][query_stride], scaled, with zeros behind the head
    size_t query_stride;
};

TEXTMILL_FUSED TileScratch lay_out_tiles(uint8_t* at, size_t num_rows, size_t dim) {
    TileScratch scratch{};
    scratch.query_stride = round_up(dim, 32);
    scratch.scores = reinterpret_cast<float*>(at);
    scratch.weights = reinterpret_cast<uint16_t*>(scratch.scores + num_rows * kScoreStride);
    scratch.queries = scratch.weights + num_rows * kWeightStride;
    return scratch;
}

TEXTMILL_FUSED void round_queries(const AttentionTask& task, size_t num_rows, const TileScratch& scratch) {
    alignas(64) float values[kMaxHeadDim] = {};
    for (size_t row = 0; row < num_rows; ++row) {
        const float* const query =
            task.queries + row / task.group * task.query_stride + row % task.group * task.head_dim;
        for (size_t d = 0; d < task.head_dim; ++d) {
            values[d] = query[d] * task.scale;
        }
        to_pairs(values, scratch.query_stride,
                 reinterpret_cast<uint8_t*>(scratch.queries + row * scratch.query_stride));
    }
}

// Four tiles of sums, one of what is multiplied, and three of keys or values.
TEXTMILL_FUSED TileConfig attention_config(size_t num_rows, size_t row_bytes, size_t num_pairs) {
    TileConfig config;
    for (size_t tile = 0; tile < 8; ++tile) {
        if (tile < 4) {
            config.set(tile, num_rows, 64);
        } else if (tile == 4) {
            config.set(tile, num_rows, row_bytes);
        } else {
            config.set(tile, num_pairs, 64);
        }
    }
    return config;
}

// Scores of a tile of rows against the keys of kBlocks blocks.
template <int kBlocks>
TEXTMILL_FUSED void score_tiles(const AttentionTask& task, const TileScratch& scratch, size_t row, size_t token) {
    const uint8_t* keys[kBlocks];
    for (size_t block = 0; block < kBlocks; ++block) {
        keys[block] = task.block_of(task.split_begin + token + block * kBlockTokens);
    }
    const uint16_t* const queries = scratch.queries + row * scratch.query_stride;
    for_each_tile<kBlocks>([](auto block) { tile_zero<block>(); });
    for (size_t d = 0; d < scratch.query_stride; d += 32) {
        tile_load<4>(queries + d, scratch.query_stride * 2);
        for_each_tile<kBlocks>([&](auto block) {
            tile_load<5 + block % 3>(keys[block] + d * 32, 64);
            tile_dot_pairs<block, 4, 5 + block % 3>();
        });
    }
    for_each_tile<kBlocks>([&](auto block) {
        tile_store<block>(scratch.scores + row * kScoreStride + token + block * kBlockTokens,
                          kScoreStride * sizeof(float));
    });
}

// Scores that a row does not see become minus infinity.
TEXTMILL_FUSED void mask_scores(const AttentionTask& task, size_t row, size_t num_tokens, float* scores) {
    const Seen seen = seen_by(task, row);
    const size_t begin = seen.begin > task.split_begin ? seen.begin - task.split_begin : 0;
    const size_t end = seen.end > task.split_begin ? seen.end - task.split_begin : 0;
    const auto mask = [&](size_t block) {
        store(scores + block,
              keep_between(load(scores + block), within_block(begin, block), within_block(end, block), kMinusInfinity));
    };
    for (size_t block = 0; block < std::min(begin, num_tokens); block += kBlockTokens) {
        mask(block);
    }
    for (size_t block = end / kBlockTokens * kBlockTokens; block < num_tokens; block += kBlockTokens) {
        mask(block);
    }
}

// exp(x) for x up to 0, within 1e-6 of it down to x = -14 and 1e-5 to -100, which is more than weights in bf16 keep; 0
// for minus infinity. 2^n * p(r) as exp_of has it, with |r| <= 1/2 and a polynomial fitted to 2^r (relative
// error 1.2e-7).
TEXTMILL_FUSED Floats weight_of(Floats x) {
    const Floats t = larger(all(-150.0f), multiply(x, all(1.44269504f)));
    const Floats n = nearest_whole(t);
    const Floats r = subtract(t, n);
    Floats p = all(1.3276470e-3f);
    p = multiply_add(p, r, all(9.6755410e-3f));
    p = multiply_add(p, r, all(5.5507131e-2f));
    p = multiply_add(p, r, all(2.4022120e-1f));
    p = multiply_add(p, r, all(6.9314694e-1f));
    p = multiply_add(p, r, all(1.0f));
    return times_power(p, n);
}

TEXTMILL_FUSED Weighed weigh_scores(const float* scores, size_t num_tokens, uint16_t* weights) {
    Floats largest[4];
    std::fill_n(largest, 4, all(kMinusInfinity));
    for (size_t i = 0; i < num_tokens; i += 16) {
        largest[i / 16 % 4] = larger(largest[i / 16 % 4], load(scores + i));
    }
    const float maximum = largest_of(larger(larger(largest[0], largest[1]), larger(largest[2], largest[3])));
    const Floats from = all(maximum == kMinusInfinity ? 0.0f : maximum);
    Floats sum = zeros();
    for (size_t i = 0; i < num_tokens; i += 16) {
        const Floats lanes = weight_of(subtract(load(scores + i), from));
        sum = add(sum, lanes);
        store_pairs(reinterpret_cast<Pair*>(weights + i), lanes);
    }
    return {maximum, sum_of(sum)};
}

// Weights of a tile of rows times 16 * kTiles dimensions of the values, from dimension `d` on.
template <int kTiles>
TEXTMILL_FUSED void gather_tiles(const AttentionTask& task, const TileScratch& scratch, size_t row, size_t num_tokens,
                                 size_t dim, size_t d) {
    const uint16_t* const weights = scratch.weights + row * kWeightStride;
    for_each_tile<kTiles>([](auto i) { tile_zero<i>(); });
    for (size_t token = 0; token < num_tokens; token += kBlockTokens) {
        const uint8_t* const values = task.block_of(task.split_begin + token) + dim * kBlockTokens * 2 + d * 4;
        tile_load<4>(weights + token, kWeightStride * 2);
        for_each_tile<kTiles>([&](auto i) {
            tile_load<5 + i % 3>(values + i * 64, dim * 4);
            tile_dot_pairs<i, 4, 5 + i % 3>();
        });
    }
    float* const out = task.partials + row * (kPartialHead + dim) + kPartialHead + d;
    for_each_tile<kTiles>([&](auto i) { tile_store<i>(out + i * 16, (kPartialHead + dim) * sizeof(float)); });
}

void attend_bf16_tiles(const AttentionTask& task) {
    const size_t num_rows = task.num_tokens * task.group;
    const size_t dim = round_up(task.head_dim, 16);
    const TileScratch scratch = lay_out_tiles(task.scratch, num_rows, dim);
    const size_t end = std::min(seen_by(task, num_rows - 1).end, task.split_end);
    const size_t num_tokens = end > task.split_begin ? round_up(end - task.split_begin, kBlockTokens) : 0;
    round_queries(task, num_rows, scratch);
    for (size_t row = 0; row < num_rows; row += kTileRows) {
        const size_t in_tile = std::min(kTileRows, num_rows - row);
        {
            const TilesInUse tiles(attention_config(in_tile, 64, 16));
            size_t token = 0;
            for (; token + 4 * kBlockTokens <= num_tokens; token += 4 * kBlockTokens) {
                score_tiles<4>(task, scratch, row, token);
            }
            for (; token < num_tokens; token += kBlockTokens) {
                score_tiles<1>(task, scratch, row, token);
            }
        }
        for (size_t i = row; i < row + in_tile; ++i) {
            float* const scores = scratch.scores + i * kScoreStride;
            mask_scores(task, i, num_tokens, scores);
            const Weighed weighed =
                as_partial(task, i, weigh_scores(scores, num_tokens, scratch.weights + i * kWeightStride));
            float* const partial = task.partials + i * (kPartialHead + dim);
            partial[0] = weighed.maximum;
            partial[1] = weighed.sum;
        }
        const TilesInUse tiles(attention_config(in_tile, 2 * kBlockTokens, kBlockTokens / 2));
        size_t d = 0;
        for (; d + 64 <= dim; d += 64) {
            gather_tiles<4>(task, scratch, row, num_tokens, dim, d);
        }
        for (; d < dim; d += 16) {
            gather_tiles<1>(task, scratch, row, num_tokens, dim, d);
        }
    }
}

}  // namespace
}  // namespace textmill::engine
