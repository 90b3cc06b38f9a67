// Weights times rows of inputs, over the lanes of a tier (kernels_impl.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/kernels.h"

namespace textmill::engine {
namespace {

// Into the second cache, if panel p is one of those that are fetched now. p is a constant in an unrolled loop.
template <uint32_t kFetched>
TEXTMILL_FUSED void fetch(size_t p, const uint8_t* line) {
    if ((kFetched >> p & 1) != 0) {
        __builtin_prefetch(line, 0, 1);
    }
}

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

template <size_t P, size_t T, uint32_t kFetched>
TEXTMILL_FUSED void multiply_f32(const uint8_t* const* panels, const uint8_t* following, const Product& product,
                                 const Inputs& inputs, size_t row, Tile<P, T>& tile) {
    const float* const values = inputs.values + row * inputs.stride;
    for (size_t col = 0; col < product.num_cols; ++col) {
        Floats weights[P];
        for (size_t p = 0; p < P; ++p) {
            weights[p] = load(reinterpret_cast<const float*>(panels[p]) + col * kPanelRows);
        }
        for (size_t p = 0; p < P; ++p) {
            fetch<kFetched>(p, following + p * product.panel_stride + col * 64);
        }
        for (size_t t = 0; t < T; ++t) {
            const Floats input = all(values[t * inputs.stride + col]);
            for (size_t p = 0; p < P; ++p) {
                tile.sum[p][t] = multiply_add(weights[p], input, tile.sum[p][t]);
            }
        }
    }
}

template <size_t P, size_t T, uint32_t kFetched>
TEXTMILL_FUSED void multiply_bf16(const uint8_t* const* panels, const uint8_t* following, const Product& product,
                                  const Inputs& inputs, size_t row, Tile<P, T>& tile) {
    const size_t stride = inputs.stride / 2;
    const Pair* const pairs = reinterpret_cast<const Pair*>(inputs.pairs) + row * stride;
    const size_t num_pairs = (product.num_cols + 1) / 2;
    for (size_t pair = 0; pair < num_pairs; ++pair) {
        Bytes weights[P];
        for (size_t p = 0; p < P; ++p) {
            weights[p] = load_bytes(panels[p] + pair * 64);
        }
        for (size_t p = 0; p < P; ++p) {
            fetch<kFetched>(p, following + p * product.panel_stride + pair * 64);
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
    // What is still to be taken from the numbers, to which it was added so that they have no sign.
    static constexpr int32_t kOffset = kType == WeightType::kQ8 ? kByteOffset : kType == WeightType::kQ4 ? 8 : 0;
};

// The dot products of a group's 32 columns, exact in 32 bits.
template <WeightType kType, size_t P, size_t T, uint32_t kFetched>
TEXTMILL_FUSED void dot_group(const uint8_t* const* numbers, const uint8_t* const* following, const int8_t* inputs,
                              size_t stride, Ints (&sums)[P][T]) {
    constexpr size_t kVectors = GroupBytes<kType>::kNumbers / 64;
    for (size_t vector = 0; vector < kVectors; ++vector) {
        Bytes weights[P];
        for (size_t p = 0; p < P; ++p) {
            weights[p] = load_bytes(numbers[p] + vector * 64);
            fetch<kFetched>(p, following[p] + vector * 64);
        }
        if constexpr (kType == WeightType::kQ8) {
            for (size_t t = 0; t < T; ++t) {
                for (size_t p = 0; p < P; ++p) {
                    sums[p][t] = dot_offset_quads(sums[p][t], weights[p], inputs + t * stride + vector * 4);
                }
            }
        } else {
            for (size_t t = 0; t < T; ++t) {
                for (size_t p = 0; p < P; ++p) {
                    const int8_t* const eight = inputs + t * stride + vector * 8;
                    sums[p][t] = dot_nibble_quads(sums[p][t], low_nibbles(weights[p]), high_nibbles(weights[p]), eight);
                }
            }
        }
    }
}

template <WeightType kType, size_t P, size_t T, uint32_t kFetched>
TEXTMILL_FUSED void multiply_groups(const uint8_t* const* panels, const uint8_t* following, const Product& product,
                                    const Inputs& inputs, size_t row, Tile<P, T>& tile) {
    using Place = GroupBytes<kType>;
    const size_t num_groups = (product.num_cols + kGroupCols - 1) / kGroupCols;
    const size_t group_stride = inputs.stride / kGroupCols;
    for (size_t group = 0; group < num_groups; ++group) {
        const size_t at = group / 2 * Place::kPair;
        const size_t numbers_at = at + Place::kHead + group % 2 * Place::kNumbers;
        const uint8_t* numbers[P];
        const uint8_t* numbers_ahead[P];
        for (size_t p = 0; p < P; ++p) {
            numbers[p] = panels[p] + numbers_at;
            numbers_ahead[p] = following + p * product.panel_stride + numbers_at;
        }
        Ints sums[P][T];
        for (size_t t = 0; t < T; ++t) {
            const int32_t offset = Place::kOffset * inputs.sums[(row + t) * group_stride + group];
            for (size_t p = 0; p < P; ++p) {
                sums[p][t] = all_ints(-offset);
            }
        }
        dot_group<kType, P, T, kFetched>(
            numbers, numbers_ahead, inputs.numbers + row * inputs.stride + group * kGroupCols, inputs.stride, sums);
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

TEXTMILL_FUSED void put_sum(const Product& product, Floats sum, size_t panel, size_t row) {
    if (product.bias != nullptr) {
        sum = add(sum, load(product.bias + panel * kPanelRows));
    }
    float* const out = product.out + row * product.out_stride + panel * kPanelRows;
    store(out, product.adds ? add(load(out), sum) : sum);
}

// kFetched says which of the next panels are fetched meanwhile, a bit for each: the processor does not foresee them
// well enough by itself.
template <WeightType kType, size_t P, size_t T, uint32_t kFetched>
TEXTMILL_FUSED void multiply_tile(const Product& product, const Inputs& inputs, size_t panel, size_t row) {
    const uint8_t* panels[P];
    for (size_t p = 0; p < P; ++p) {
        panels[p] = product.panels + (panel + p) * product.panel_stride;
    }
    // Where there are no next panels, the same ones are named again, which are near already.
    const size_t next = panel + 2 * P <= product.num_panels ? panel + P : panel;
    const uint8_t* const following = product.panels + next * product.panel_stride;
    Tile<P, T> tile;
    if constexpr (kType == WeightType::kF32) {
        multiply_f32<P, T, kFetched>(panels, following, product, inputs, row, tile);
    } else if constexpr (kType == WeightType::kBF16) {
        multiply_bf16<P, T, kFetched>(panels, following, product, inputs, row, tile);
    } else {
        multiply_groups<kType, P, T, kFetched>(panels, following, product, inputs, row, tile);
    }
    for (size_t p = 0; p < P; ++p) {
        for (size_t t = 0; t < T; ++t) {
            put_sum(product, tile.sum[p][t], panel + p, row + t);
        }
    }
}

// From `row` on, T rows at once while there are so many. The first and the last of them share the fetching.
template <WeightType kType, size_t P, size_t T>
TEXTMILL_FUSED size_t multiply_many(const Product& product, const Inputs& inputs, size_t panel, size_t row) {
    constexpr uint32_t kAll = (1u << P) - 1;
    for (; row + T <= inputs.num_rows; row += T) {
        const bool is_last = row + T == inputs.num_rows;
        if (row == 0 && is_last) {
            multiply_tile<kType, P, T, kAll>(product, inputs, panel, row);
        } else if (row == 0) {
            multiply_tile<kType, P, T, 1>(product, inputs, panel, row);
        } else if (is_last) {
            multiply_tile<kType, P, T, kAll - 1>(product, inputs, panel, row);
        } else {
            multiply_tile<kType, P, T, 0>(product, inputs, panel, row);
        }
    }
    return row;
}

// All rows of inputs from `row` on against P panels: as many rows at once as the registers hold.
template <WeightType kType, size_t P>
TEXTMILL_FUSED void multiply_rows(const Product& product, const Inputs& inputs, size_t panel, size_t row = 0) {
    constexpr size_t kMany = is_quantized(kType) ? kTileShape.quantized_rows : kTileShape.rows;
    row = multiply_many<kType, P, kMany>(product, inputs, panel, row);
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
    size_t panel = 0;
    if (inputs.num_rows == 1) {  // many panels at once hide the latency of each sum
        constexpr size_t kAlone = kTileShape.panels_of_one_row;
        for (; panel + kAlone <= product.num_panels; panel += kAlone) {
            multiply_tile<kType, kAlone, 1, (1u << kAlone) - 1>(product, inputs, panel, 0);
        }
    }
    for (; panel + kTileShape.panels <= product.num_panels; panel += kTileShape.panels) {
        multiply_rows<kType, kTileShape.panels>(product, inputs, panel);
    }
    for (; panel < product.num_panels; ++panel) {
        multiply_rows<kType, 1>(product, inputs, panel);
    }
}

}  // namespace
}  // namespace textmill::engine
