// Products on AMX's tiles: a tile of weights is a part of a panel as it lies, one of inputs a part of sixteen rows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/amx_tiles.h"
#include "engine/product_kernels.h"

namespace textmill::engine {
namespace {

// Panels that stay in the second cache while all rows of inputs pass.
constexpr size_t kPanelsAtOnce = 8;
// From so many rows on unpacking quantized weights for tiles is less work than their dot products without.
constexpr size_t kQuantizedTileRows = 16;

// Four tiles of sums come first, then the inputs of as many rows, then weights.
constexpr int kFirstInputTile = 4;

TEXTMILL_FUSED TileConfig pairs_config(size_t num_rows, size_t num_input_tiles) {
    TileConfig config;
    for (size_t tile = 0; tile < 8; ++tile) {
        config.set(tile, tile < kFirstInputTile + num_input_tiles ? num_rows : kTileRows, 64);
    }
    return config;
}

// kPanels panels times kRowTiles tiles of `num_rows` rows each, from `row` on.
template <int kPanels, int kRowTiles>
TEXTMILL_FUSED void multiply_pairs(const Product& product, const Inputs& inputs, size_t panel, size_t row,
                                   size_t num_rows) {
    constexpr int kFirstWeight = kFirstInputTile + kRowTiles;
    constexpr int kNumWeights = 8 - kFirstWeight;
    static_assert(kPanels * kRowTiles <= kFirstInputTile && kNumWeights > 0);
    const size_t stride = inputs.stride * 2;  // bytes
    const uint8_t* const pairs = inputs.pairs + row * stride;
    const uint8_t* const weights = product.panels + panel * product.panel_stride;
    for_each_tile<kPanels * kRowTiles>([](auto sum) { tile_zero<sum>(); });
    for (size_t at = 0; at < inputs.stride / 32; ++at) {
        for_each_tile<kRowTiles>(
            [&](auto r) { tile_load<kFirstInputTile + r>(pairs + r * kTileRows * stride + at * 64, stride); });
        for_each_tile<kPanels>([&](auto p) {
            constexpr int kWeight = kFirstWeight + p % kNumWeights;
            tile_load<kWeight>(weights + p * product.panel_stride + at * kTileBytes, 64);
            for_each_tile<kRowTiles>(
                [&](auto r) { tile_dot_pairs<p * kRowTiles + r, kFirstInputTile + r, kWeight>(); });
        });
    }
    for_each_tile<kPanels>([&](auto p) {
        for_each_tile<kRowTiles>([&](auto r) {
            const size_t first_row = row + r * kTileRows;
            if (product.adds || product.bias != nullptr) {
                alignas(64) float sums[kTileRows * kPanelRows];
                tile_store<p * kRowTiles + r>(sums, 64);
                for (size_t t = 0; t < num_rows; ++t) {
                    put_sum(product, load(sums + t * kPanelRows), panel + p, first_row + t);
                }
            } else {
                float* const out = product.out + first_row * product.out_stride + (panel + p) * kPanelRows;
                tile_store<p * kRowTiles + r>(out, product.out_stride * sizeof(float));
            }
        });
    });
}

// Panels begin to end for rows that share a tile: four panels at once, whose sums do not wait for each other.
TEXTMILL_FUSED void multiply_few_rows(const Product& product, const Inputs& inputs, size_t begin, size_t end,
                                      size_t row, size_t num_rows) {
    const TilesInUse tiles(pairs_config(num_rows, 1));
    size_t panel = begin;
    for (; panel + 4 <= end; panel += 4) {
        multiply_pairs<4, 1>(product, inputs, panel, row, num_rows);
    }
    if (panel + 2 <= end) {
        multiply_pairs<2, 1>(product, inputs, panel, row, num_rows);
        panel += 2;
    }
    if (panel < end) {
        multiply_pairs<1, 1>(product, inputs, panel, row, num_rows);
    }
}

// Two panels and two tiles of rows at once, for as many pairs of tiles as there are; returns the first row that is
// left.
TEXTMILL_FUSED size_t multiply_many_rows(const Product& product, const Inputs& inputs, size_t begin, size_t end) {
    const size_t num_rows = inputs.num_rows / (2 * kTileRows) * (2 * kTileRows);
    const TilesInUse tiles(pairs_config(kTileRows, 2));
    size_t panel = begin;
    for (; panel + 2 <= end; panel += 2) {
        for (size_t row = 0; row < num_rows; row += 2 * kTileRows) {
            multiply_pairs<2, 2>(product, inputs, panel, row, kTileRows);
        }
    }
    for (size_t row = 0; panel < end && row < num_rows; row += 2 * kTileRows) {
        multiply_pairs<1, 2>(product, inputs, panel, row, kTileRows);
    }
    return num_rows;
}

void multiply_bf16_tiles(const Product& product, const Inputs& inputs) {
    for (size_t begin = product.begin; begin < product.end; begin += kPanelsAtOnce) {
        const size_t end = std::min(begin + kPanelsAtOnce, product.end);
        size_t row = inputs.num_rows >= 2 * kTileRows ? multiply_many_rows(product, inputs, begin, end) : 0;
        for (; row < inputs.num_rows; row += kTileRows) {
            multiply_few_rows(product, inputs, begin, end, row, std::min(kTileRows, inputs.num_rows - row));
        }
    }
}

// A panel's numbers as signed bytes, quads of columns one after the other: 512 bytes for a group of 32 columns.
template <WeightType kType>
TEXTMILL_FUSED void unpack_panel(const uint8_t* panel, size_t num_groups, uint8_t* out) {
    using Place = GroupBytes<kType>;
    for (size_t group = 0; group < num_groups; ++group) {
        const uint8_t* from = panel + group / 2 * Place::kPair + Place::kHead + group % 2 * Place::kNumbers;
        for (uint8_t* const end = out + kQ8GroupBytes; out < end; from += 64) {
            const Bytes packed = load_bytes(from);
            if constexpr (kType == WeightType::kQ8) {
                _mm512_storeu_si512(out, _mm512_sub_epi8(packed, _mm512_set1_epi8(-128)));
                out += 64;
            } else {
                const Bytes offset = _mm512_set1_epi8(kType == WeightType::kQ4 ? 8 : 0);
                _mm512_storeu_si512(out, _mm512_sub_epi8(low_nibbles(packed), offset));
                _mm512_storeu_si512(out + 64, _mm512_sub_epi8(high_nibbles(packed), offset));
                out += 128;
            }
        }
    }
}

// Four tiles of sums, two of numbers of sixteen rows and two of weights, for the 32 columns of a group.
TEXTMILL_FUSED TileConfig quads_config() {
    TileConfig config;
    for (size_t tile = 0; tile < 8; ++tile) {
        if (tile < 4) {
            config.set(tile, kTileRows, 64);
        } else if (tile < 6) {
            config.set(tile, kTileRows, kGroupCols);
        } else {
            config.set(tile, kGroupCols / 4, 64);
        }
    }
    return config;
}

// One panel times sixteen rows of inputs: the sums of four groups at a time, which are then scaled and added as
// multiply_groups does it.
template <WeightType kType>
TEXTMILL_FUSED void multiply_quads(const Product& product, const Inputs& inputs, size_t panel, size_t row,
                                   const uint8_t* unpacked, int32_t* group_sums) {
    using Place = GroupBytes<kType>;
    constexpr size_t kAtOnce = 4;
    constexpr size_t kSumsInTile = kTileRows * kPanelRows;
    const size_t num_groups = (product.num_cols + kGroupCols - 1) / kGroupCols;
    const size_t group_stride = inputs.stride / kGroupCols;
    const uint8_t* const packed = product.panels + panel * product.panel_stride;
    const int8_t* const numbers = inputs.numbers + row * inputs.stride;
    Floats sums[kTileRows];
    for (Floats& sum : sums) {
        sum = zeros();
    }
    for (size_t first = 0; first < num_groups; first += kAtOnce) {
        const size_t count = std::min(kAtOnce, num_groups - first);
        for_each_tile<kAtOnce>([&](auto i) {
            if (i < count) {
                tile_zero<i>();
                tile_load<4 + i % 2>(numbers + (first + i) * kGroupCols, inputs.stride);
                tile_load<6 + i % 2>(unpacked + (first + i) * kQ8GroupBytes, 64);
                tile_dot_quads<i, 4 + i % 2, 6 + i % 2>();
            }
        });
        for_each_tile<kAtOnce>([&](auto i) {
            if (i < count) {
                tile_store<i>(group_sums + i * kSumsInTile, 64);
            }
        });
        for (size_t i = 0; i < count; ++i) {
            const size_t group = first + i;
            const auto* const line =
                reinterpret_cast<const uint16_t*>(packed + group / 2 * Place::kPair) + group % 2 * kPanelRows;
            const Floats scales = widen_f16(line);
            for (size_t t = 0; t < kTileRows; ++t) {
                const Floats by = multiply(scales, all(inputs.scales[(row + t) * group_stride + group]));
                const Floats sum = to_floats(_mm512_load_si512(group_sums + i * kSumsInTile + t * kPanelRows));
                sums[t] = multiply_add(sum, by, sums[t]);
            }
            if constexpr (Place::kHasMin) {
                const Floats leasts = widen_f16(line + kScaleBytes / 2);
                for (size_t t = 0; t < kTileRows; ++t) {
                    const Floats input = all(inputs.scaled_sums[(row + t) * group_stride + group]);
                    sums[t] = multiply_add(leasts, input, sums[t]);
                }
            }
        }
    }
    for (size_t t = 0; t < kTileRows; ++t) {
        put_sum(product, sums[t], panel, row + t);
    }
}

// The same bits as multiply_panels: sums of a group are whole numbers.
template <WeightType kType>
void multiply_quantized_tiles(const Product& product, const Inputs& inputs) {
    if (inputs.num_rows < kQuantizedTileRows) {
        return multiply_panels<kType>(product, inputs);
    }
    alignas(64) int32_t group_sums[4 * kTileRows * kPanelRows];
    const size_t num_rows = inputs.num_rows / kTileRows * kTileRows;
    const size_t num_groups = (product.num_cols + kGroupCols - 1) / kGroupCols;
    const TilesInUse tiles(quads_config());
    for (size_t panel = product.begin; panel < product.end; ++panel) {
        unpack_panel<kType>(product.panels + panel * product.panel_stride, num_groups, product.scratch);
        for (size_t row = 0; row < num_rows; row += kTileRows) {
            multiply_quads<kType>(product, inputs, panel, row, product.scratch, group_sums);
        }
        multiply_rows<kType, 1>(product, inputs, panel, num_rows);
    }
}

}  // namespace
}  // namespace textmill::engine
