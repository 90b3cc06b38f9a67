// The kernels, written once over the lanes of a tier: included by one file a tier, after its lanes.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "engine/kernels.h"

namespace textmill::engine {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// exp(x) within 2 units in the last place, by 2^n * p(r) with |r| <= ln(2) / 2 (Cody and Waite); 0 below -87, where
// the result would not be a normal float, and as exp(88) above that. NaN stays.
TEXTMILL_FUSED Floats exp_of(Floats x) {
    const Floats bounded = larger(all(-87.0f), smaller(all(88.0f), x));
    const Floats n = nearest_whole(multiply(bounded, all(1.44269504f)));
    Floats r = multiply_add(n, all(-0.693359375f), bounded);
    r = multiply_add(n, all(2.12194440e-4f), r);
    Floats p = all(1.9875691500e-4f);
    p = multiply_add(p, r, all(1.3981999507e-3f));
    p = multiply_add(p, r, all(8.3334519073e-3f));
    p = multiply_add(p, r, all(4.1665795894e-2f));
    p = multiply_add(p, r, all(1.6666665459e-1f));
    p = multiply_add(p, r, all(5.0000001201e-1f));
    p = add(multiply_add(p, multiply(r, r), r), all(1.0f));
    return zero_below(times_power(p, n), x, -87.0f);
}

// Products -----------------------------------------------------------------------------------------------------------

// P panels times T rows of inputs: each sum over the columns in their order.
template <size_t P, size_t T>
struct Tile {
    Floats sum[P][T];

    TEXTMILL_FUSED Tile() {
        for (auto& panel : sum) {
            for (Floats& lanes : panel) {
                lanes = zeros();
            }
        }
    }
};

template <size_t P, size_t T>
TEXTMILL_FUSED void multiply_f32(const uint8_t* const* panels, const Product& product, const Inputs& inputs, size_t row,
                                 Tile<P, T>& tile) {
    const float* const values = inputs.values + row * inputs.stride;
    for (size_t col = 0; col < product.num_cols; ++col) {
        Floats weights[P];
        for (size_t p = 0; p < P; ++p) {
            weights[p] = load(reinterpret_cast<const float*>(panels[p]) + col * kPanelRows);
        }
        for (size_t t = 0; t < T; ++t) {
            const Floats input = all(values[t * inputs.stride + col]);
            for (size_t p = 0; p < P; ++p) {
                tile.sum[p][t] = multiply_add(weights[p], input, tile.sum[p][t]);
            }
        }
    }
}

template <size_t P, size_t T>
TEXTMILL_FUSED void multiply_bf16(const uint8_t* const* panels, const Product& product, const Inputs& inputs,
                                  size_t row, Tile<P, T>& tile) {
    const size_t stride = inputs.stride / 2;
    const Pair* const pairs = reinterpret_cast<const Pair*>(inputs.pairs) + row * stride;
    const size_t num_pairs = (product.num_cols + 1) / 2;
    for (size_t pair = 0; pair < num_pairs; ++pair) {
        Bytes weights[P];
        for (size_t p = 0; p < P; ++p) {
            weights[p] = load_bytes(panels[p] + pair * 64);
        }
        for (size_t t = 0; t < T; ++t) {
            for (size_t p = 0; p < P; ++p) {
                tile.sum[p][t] = dot_pairs(tile.sum[p][t], weights[p], pairs[t * stride + pair]);
            }
        }
    }
}

template <WeightType kType>
struct GroupBytes {
    static constexpr bool kHasMin = kType == WeightType::kQ4Min;
    static constexpr size_t kHead = kHasMin ? 2 * kScaleBytes : kScaleBytes;
    static constexpr size_t kNumbers = kType == WeightType::kQ8 ? kQ8GroupBytes : kQ4GroupBytes;
    static constexpr size_t kPair = kHead + 2 * kNumbers;
    // What was added to the numbers, so that they have no sign.
    static constexpr int32_t kOffset = kType == WeightType::kQ8 ? 128 : kType == WeightType::kQ4 ? 8 : 0;
};

// The dot products of a group's 32 columns, exact in 32 bits.
template <WeightType kType, size_t P, size_t T>
TEXTMILL_FUSED void dot_group(const uint8_t* const* numbers, const int8_t* inputs, size_t stride, Ints (&sums)[P][T]) {
    constexpr size_t kVectors = GroupBytes<kType>::kNumbers / 64;
    for (size_t vector = 0; vector < kVectors; ++vector) {
        Bytes weights[P];
        for (size_t p = 0; p < P; ++p) {
            weights[p] = load_bytes(numbers[p] + vector * 64);
        }
        if constexpr (kType == WeightType::kQ8) {
            for (size_t t = 0; t < T; ++t) {
                for (size_t p = 0; p < P; ++p) {
                    sums[p][t] = dot_quads(sums[p][t], weights[p], inputs + t * stride + vector * 4);
                }
            }
        } else {
            for (size_t t = 0; t < T; ++t) {
                for (size_t p = 0; p < P; ++p) {
                    const int8_t* const eight = inputs + t * stride + vector * 8;
                    sums[p][t] = dot_quads(sums[p][t], low_nibbles(weights[p]), eight);
                    sums[p][t] = dot_quads(sums[p][t], high_nibbles(weights[p]), eight + 4);
                }
            }
        }
    }
}

template <WeightType kType, size_t P, size_t T>
TEXTMILL_FUSED void multiply_groups(const uint8_t* const* panels, const Product& product, const Inputs& inputs,
                                    size_t row, Tile<P, T>& tile) {
    using Place = GroupBytes<kType>;
    const size_t num_groups = (product.num_cols + kGroupCols - 1) / kGroupCols;
    const size_t group_stride = inputs.stride / kGroupCols;
    for (size_t group = 0; group < num_groups; ++group) {
        const size_t at = group / 2 * Place::kPair;
        const uint8_t* numbers[P];
        for (size_t p = 0; p < P; ++p) {
            numbers[p] = panels[p] + at + Place::kHead + group % 2 * Place::kNumbers;
        }
        Ints sums[P][T];
        for (size_t t = 0; t < T; ++t) {
            const int32_t offset = Place::kOffset * inputs.sums[(row + t) * group_stride + group];
            for (size_t p = 0; p < P; ++p) {
                sums[p][t] = all_ints(-offset);
            }
        }
        dot_group<kType, P, T>(numbers, inputs.numbers + row * inputs.stride + group * kGroupCols, inputs.stride, sums);
        for (size_t p = 0; p < P; ++p) {
            const auto* const line = reinterpret_cast<const uint16_t*>(panels[p] + at) + group % 2 * kPanelRows;
            const Floats scales = widen_f16(line);
            for (size_t t = 0; t < T; ++t) {
                const Floats by = multiply(scales, all(inputs.scales[(row + t) * group_stride + group]));
                tile.sum[p][t] = multiply_add(to_floats(sums[p][t]), by, tile.sum[p][t]);
            }
            if constexpr (Place::kHasMin) {
                const Floats leasts = widen_f16(line + kScaleBytes / 2);
                for (size_t t = 0; t < T; ++t) {
                    const Floats input = all(inputs.scaled_sums[(row + t) * group_stride + group]);
                    tile.sum[p][t] = multiply_add(leasts, input, tile.sum[p][t]);
                }
            }
        }
    }
}

template <WeightType kType, size_t P, size_t T>
TEXTMILL_FUSED void multiply_tile(const Product& product, const Inputs& inputs, size_t panel, size_t row) {
    const uint8_t* panels[P];
    for (size_t p = 0; p < P; ++p) {
        panels[p] = product.panels + (panel + p) * product.panel_stride;
    }
    Tile<P, T> tile;
    if constexpr (kType == WeightType::kF32) {
        multiply_f32(panels, product, inputs, row, tile);
    } else if constexpr (kType == WeightType::kBF16) {
        multiply_bf16(panels, product, inputs, row, tile);
    } else {
        multiply_groups<kType>(panels, product, inputs, row, tile);
    }
    for (size_t p = 0; p < P; ++p) {
        const size_t first = (panel + p) * kPanelRows;
        for (size_t t = 0; t < T; ++t) {
            Floats sum = tile.sum[p][t];
            if (product.bias != nullptr) {
                sum = add(sum, load(product.bias + first));
            }
            float* const out = product.out + (row + t) * product.out_stride + first;
            store(out, product.adds ? add(load(out), sum) : sum);
        }
    }
}

// From `row` on, T rows at once while there are so many.
template <WeightType kType, size_t P, size_t T>
TEXTMILL_FUSED size_t multiply_many(const Product& product, const Inputs& inputs, size_t panel, size_t row) {
    for (; row + T <= inputs.num_rows; row += T) {
        multiply_tile<kType, P, T>(product, inputs, panel, row);
    }
    return row;
}

// All rows of inputs against P panels: as many rows at once as the registers hold.
template <WeightType kType, size_t P>
TEXTMILL_FUSED void multiply_rows(const Product& product, const Inputs& inputs, size_t panel) {
    constexpr size_t kMany = is_quantized(kType) ? kTileShape.quantized_rows : kTileShape.rows;
    size_t row = multiply_many<kType, P, kMany>(product, inputs, panel, 0);
    if constexpr (kMany > 4) {
        row = multiply_many<kType, P, 4>(product, inputs, panel, row);
    }
    if constexpr (kMany > 2) {
        row = multiply_many<kType, P, 2>(product, inputs, panel, row);
    }
    multiply_many<kType, P, 1>(product, inputs, panel, row);
}

template <WeightType kType>
void multiply_panels(const Product& product, const Inputs& inputs) {
    size_t panel = product.begin;
    if (inputs.num_rows == 1) {  // many panels at once hide the latency of each sum
        constexpr size_t kAlone = kTileShape.panels_of_one_row;
        for (; panel + kAlone <= product.end; panel += kAlone) {
            multiply_tile<kType, kAlone, 1>(product, inputs, panel, 0);
        }
    }
    for (; panel + kTileShape.panels <= product.end; panel += kTileShape.panels) {
        multiply_rows<kType, kTileShape.panels>(product, inputs, panel);
    }
    for (; panel < product.end; ++panel) {
        multiply_rows<kType, 1>(product, inputs, panel);
    }
}

// Rows ---------------------------------------------------------------------------------------------------------------

void rms_norm(const float* x, const float* weight, size_t num, size_t num_padded, float eps, float* out) {
    Floats squares = zeros();
    for (size_t i = 0; i < num_padded; i += 16) {
        const Floats lanes = load(x + i);
        squares = multiply_add(lanes, lanes, squares);
    }
    const float scale = 1.0f / std::sqrt(sum_of(squares) / static_cast<float>(num) + eps);
    for (size_t i = 0; i < num_padded; i += 16) {
        store(out + i, multiply(multiply(load(x + i), all(scale)), load(weight + i)));
    }
}

void to_pairs(const float* row, size_t num, uint8_t* pairs) {
    for (size_t i = 0; i < num; i += 16) {
        store_pairs(reinterpret_cast<Pair*>(pairs) + i / 2, load(row + i));
    }
}

struct Rounded {
    float scale;
    int32_t sum;
};

// The largest magnitude of `num` floats, a multiple of 16, becomes 127. A value that is not finite makes the scale so.
TEXTMILL_FUSED Rounded round_to_int8(const float* values, size_t num, int8_t* numbers) {
    Floats largest = zeros();
    Floats poison = zeros();
    for (size_t i = 0; i < num; i += 16) {
        const Floats lanes = load(values + i);
        largest = larger(largest, magnitude(lanes));
        poison = multiply_add(lanes, zeros(), poison);
    }
    const float most = largest_of(largest);
    const float inverse = most > 0.0f ? 127.0f / most : 0.0f;
    for (size_t i = 0; i < num; i += 16) {
        store_int8(numbers + i, multiply(load(values + i), all(inverse)));
    }
    int32_t sum = 0;
    for (size_t i = 0; i < num; ++i) {
        sum += numbers[i];
    }
    return {most / 127.0f + sum_of(poison), sum};
}

void to_numbers(const float* row, size_t num, const RoundedRow& out) {
    for (size_t group = 0; group * kGroupCols < num; ++group) {
        const size_t at = group * kGroupCols;
        const Rounded rounded = round_to_int8(row + at, kGroupCols, out.numbers + at);
        out.scales[group] = rounded.scale;
        out.scaled_sums[group] = rounded.scale * static_cast<float>(rounded.sum);
        out.sums[group] = rounded.sum;
    }
}

void swiglu(float* gate, const float* up, size_t num) {
    for (size_t i = 0; i < num; i += 16) {
        const Floats lanes = load(gate + i);
        const Floats below = add(all(1.0f), exp_of(subtract(zeros(), lanes)));
        store(gate + i, multiply(divide(lanes, below), load(up + i)));
    }
}

void rotate(float* head, const float* cosines, const float* sines, size_t dim) {
    float* const second = head + dim / 2;
    for (size_t i = 0; i < dim / 2; ++i) {
        const float x = head[i];
        const float y = second[i];
        head[i] = x * cosines[i] - y * sines[i];
        second[i] = y * cosines[i] + x * sines[i];
    }
}

// Keys and values ----------------------------------------------------------------------------------------------------

TEXTMILL_FUSED void store_f32_kv(const KvLayout& layout, uint8_t* block, size_t slot, const float* key,
                                 const float* value) {
    auto* const keys = reinterpret_cast<float*>(block);
    auto* const values = reinterpret_cast<float*>(block + layout.half_bytes());
    for (size_t d = 0; d < layout.head_dim; ++d) {
        keys[d * kBlockTokens + slot] = key[d];
        values[slot * layout.padded_dim() + d] = value[d];
    }
}

TEXTMILL_FUSED uint16_t round_to_bf16(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    return static_cast<uint16_t>(is_nan ? bits >> 16 | 0x40 : (bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

TEXTMILL_FUSED void store_bf16_kv(const KvLayout& layout, uint8_t* block, size_t slot, const float* key,
                                  const float* value) {
    auto* const keys = reinterpret_cast<uint16_t*>(block);
    auto* const values = reinterpret_cast<uint16_t*>(block + layout.half_bytes());
    for (size_t d = 0; d < layout.head_dim; ++d) {
        keys[(d / 2 * kBlockTokens + slot) * 2 + d % 2] = round_to_bf16(key[d]);
        values[(slot / 2 * layout.padded_dim() + d) * 2 + slot % 2] = round_to_bf16(value[d]);
    }
}

TEXTMILL_FUSED void store_int8_kv(const KvLayout& layout, uint8_t* block, size_t slot, const float* key,
                                  const float* value) {
    alignas(64) float padded[kMaxHeadDim] = {};
    alignas(64) int8_t numbers[kMaxHeadDim] = {};
    const size_t dim = layout.padded_dim();
    auto* const scales = reinterpret_cast<float*>(block + layout.scales_at());
    for (size_t d = 0; d < dim; ++d) {
        padded[d] = d < layout.head_dim ? key[d] : 0.0f;
    }
    scales[slot] = round_to_int8(padded, dim, numbers).scale;
    for (size_t d = 0; d < dim; ++d) {
        block[(d / 4 * kBlockTokens + slot) * 4 + d % 4] = static_cast<uint8_t>(numbers[d] + 128);
    }
    for (size_t d = 0; d < dim; ++d) {
        padded[d] = d < layout.head_dim ? value[d] : 0.0f;
    }
    auto* const values = reinterpret_cast<int8_t*>(block + layout.half_bytes());
    scales[kBlockTokens + slot] = round_to_int8(padded, dim, values + slot * dim).scale;
}

void store_kv(const KvLayout& layout, uint8_t* block, size_t slot, const float* key, const float* value) {
    switch (layout.type) {
        case KvType::kF32:
            return store_f32_kv(layout, block, slot, key, value);
        case KvType::kBF16:
            return store_bf16_kv(layout, block, slot, key, value);
        case KvType::kInt8:
            return store_int8_kv(layout, block, slot, key, value);
    }
}

// Attention ----------------------------------------------------------------------------------------------------------

// What a thread keeps for the rows of a task.
struct AttentionScratch {
    float* scores;          // [rows][split]
    float* values;          // [rows][dim]: queries, scaled
    uint8_t* pairs;         // [rows][dim / 2]
    int8_t* numbers;        // [rows][dim]
    float* scales;          // [rows]
    int32_t* sums;          // [rows]
    uint8_t* weight_pairs;  // [rows][split / 2]: softmax weights as the products with values take them
    float* maxima;          // [rows]
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
    scratch.maxima = reinterpret_cast<float*>(take(rows * sizeof(float)));
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

// Scores of R rows against the 16 keys of a block.
template <KvType kType, size_t R>
TEXTMILL_FUSED void score_block(const uint8_t* block, size_t dim, size_t row, const AttentionScratch& scratch,
                                Floats (&scores)[R]) {
    if constexpr (kType == KvType::kInt8) {
        Ints sums[R];
        for (size_t r = 0; r < R; ++r) {
            sums[r] = all_ints(-128 * scratch.sums[row + r]);
        }
        for (size_t d = 0; d < dim; d += 4) {
            const Bytes keys = load_bytes(block + d * kBlockTokens);
            for (size_t r = 0; r < R; ++r) {
                sums[r] = dot_quads(sums[r], keys, scratch.numbers + (row + r) * dim + d);
            }
        }
        const Floats scales = load(reinterpret_cast<const float*>(block + 2 * dim * kBlockTokens));
        for (size_t r = 0; r < R; ++r) {
            scores[r] = multiply(multiply(to_floats(sums[r]), scales), all(scratch.scales[row + r]));
        }
        return;
    }
    for (Floats& lanes : scores) {
        lanes = zeros();
    }
    if constexpr (kType == KvType::kBF16) {
        const Pair* const pairs = reinterpret_cast<const Pair*>(scratch.pairs) + row * dim / 2;
        for (size_t d = 0; d < dim / 2; ++d) {
            const Bytes keys = load_bytes(block + d * 64);
            for (size_t r = 0; r < R; ++r) {
                scores[r] = dot_pairs(scores[r], keys, pairs[r * dim / 2 + d]);
            }
        }
    } else if constexpr (kType == KvType::kF32) {
        for (size_t d = 0; d < dim; ++d) {
            const Floats keys = load(reinterpret_cast<const float*>(block) + d * kBlockTokens);
            for (size_t r = 0; r < R; ++r) {
                scores[r] = multiply_add(keys, all(scratch.values[(row + r) * dim + d]), scores[r]);
            }
        }
    }
}

// Where a number lies within a block, at most its size.
TEXTMILL_FUSED size_t within_block(size_t position, size_t first) {
    return position <= first ? 0 : position - first < kBlockTokens ? position - first : kBlockTokens;
}

template <KvType kType, size_t R>
TEXTMILL_FUSED void score_rows(const AttentionTask& task, size_t first, size_t dim, size_t row,
                               const AttentionScratch& scratch) {
    Floats scores[R];
    score_block<kType, R>(task.block_of(first), dim, row, scratch, scores);
    for (size_t r = 0; r < R; ++r) {
        const Seen seen = seen_by(task, row + r);
        const Floats masked =
            keep_between(scores[r], within_block(seen.begin, first), within_block(seen.end, first), kMinusInfinity);
        store(scratch.scores + (row + r) * kSplitTokens + (first - task.split_begin), masked);
    }
}

// Scores to softmax weights, not yet divided by their sum; returns the sum.
template <KvType kType>
TEXTMILL_FUSED float weigh(const AttentionTask& task, size_t dim, size_t row, size_t num_tokens,
                           const AttentionScratch& scratch) {
    float* const scores = scratch.scores + row * kSplitTokens;
    Floats largest = all(kMinusInfinity);
    for (size_t i = 0; i < num_tokens; i += 16) {
        largest = larger(largest, load(scores + i));
    }
    const float maximum = largest_of(largest);
    scratch.maxima[row] = maximum;
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
    return sum_of(sum);
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

template <KvType kType, size_t R>
TEXTMILL_FUSED void gather_rows(const AttentionTask& task, size_t num_tokens, size_t dim, size_t row,
                                const AttentionScratch& scratch) {
    size_t d = 0;
    for (; d + 64 <= dim; d += 64) {
        gather_values<kType, R, 4>(task, num_tokens, dim, row, d, scratch);
    }
    for (; d < dim; d += 16) {
        gather_values<kType, R, 1>(task, num_tokens, dim, row, d, scratch);
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
    for (size_t token = 0; token < num_tokens; token += kBlockTokens) {
        const size_t first = task.split_begin + token;
        size_t row = 0;
        for (; row + 8 <= num_rows; row += 8) {
            score_rows<kType, 8>(task, first, dim, row, scratch);
        }
        for (; row + 3 <= num_rows; row += 3) {
            score_rows<kType, 3>(task, first, dim, row, scratch);
        }
        for (; row < num_rows; ++row) {
            score_rows<kType, 1>(task, first, dim, row, scratch);
        }
    }
    const size_t num_even = (num_tokens + 1) / 2 * 2;  // the values of a pair lie side by side; the last may be zero
    for (size_t row = 0; row < num_rows; ++row) {
        float* const partial = task.partials + row * (kPartialHead + dim);
        partial[1] = weigh<kType>(task, dim, row, num_tokens, scratch);
        partial[0] = scratch.maxima[row];
    }
    size_t row = 0;
    for (; row + 3 <= num_rows; row += 3) {
        gather_rows<kType, 3>(task, num_even, dim, row, scratch);
    }
    for (; row < num_rows; ++row) {
        gather_rows<kType, 1>(task, num_even, dim, row, scratch);
    }
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

constexpr Kernels make_kernels(const char* name) {
    return {
        .name = name,
        .pair_bytes = sizeof(Pair),
        .multiply = {multiply_panels<WeightType::kF32>, multiply_panels<WeightType::kBF16>,
                     multiply_panels<WeightType::kQ8>, multiply_panels<WeightType::kQ4>,
                     multiply_panels<WeightType::kQ4Min>},
        .rms_norm = rms_norm,
        .to_pairs = to_pairs,
        .to_numbers = to_numbers,
        .swiglu = swiglu,
        .rotate = rotate,
        .store_kv = store_kv,
        .attend = {attend<KvType::kF32>, attend<KvType::kBF16>, attend<KvType::kInt8>},
        .fold = fold,
    };
}

}  // namespace
}  // namespace textmill::engine
