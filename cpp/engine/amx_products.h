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
// Tiles of a panel that are on their way to the first cache while one is multiplied.
constexpr size_t kTilesAhead = 4;

// Four tiles of sums come first, then the inputs of as many rows, then weights.
constexpr int kFirstInputTile = 4;

TEXTMILL_FUSED TileConfig pairs_config(size_t num_rows, size_t num_input_tiles) {
    TileConfig config;
    for (size_t tile = 0; tile < 8; ++tile) {
        config.set(tile, tile < kFirstInputTile + num_input_tiles ? num_rows : kTileRows, 64);
    }
    return config;
}

TEXTMILL_FUSED void prefetch_tile(const uint8_t* from) {
    for (size_t line = 0; line < kTileBytes; line += 64) {
        __builtin_prefetch(from + line);
    }
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
    const size_t next = panel + 2 * kPanels <= product.num_panels ? panel + kPanels : panel;
    const uint8_t* const following = product.panels + next * product.panel_stride;
    const size_t num_tiles = inputs.stride / 32;
    for (size_t at = 0; at < num_tiles; ++at) {
        for_each_tile<kRowTiles>(
            [&](auto r) { tile_load<kFirstInputTile + r>(pairs + r * kTileRows * stride + at * 64, stride); });
        for_each_tile<kPanels>([&](auto p) {
            constexpr int kWeight = kFirstWeight + p % kNumWeights;
            tile_load<kWeight>(weights + p * product.panel_stride + at * kTileBytes, 64);
            if constexpr (kRowTiles == 1) {
                const size_t ahead = at + kTilesAhead;
                prefetch_tile(ahead < num_tiles
                                  ? weights + p * product.panel_stride + ahead * kTileBytes
                                  : following + p * product.panel_stride + (ahead - num_tiles) * kTileBytes);
            }
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
    for (size_t begin = 0; begin < product.num_panels; begin += kPanelsAtOnce) {
        const size_t end = std::min(begin + kPanelsAtOnce, product.num_panels);
        size_t row = inputs.num_rows >= 2 * kTileRows ? multiply_many_rows(product, inputs, begin, end) : 0;
        for (; row < inputs.num_rows; row += kTileRows) {
            multiply_few_rows(product, inputs, begin, end, row, std::min(kTileRows, inputs.num_rows - row));
        }
    }
}

TEXTMILL_FUSED uint8_t* put_quads(uint8_t* out, Bytes quads, int offset) {
    _mm512_storeu_si512(out, _mm512_sub_epi8(quads, _mm512_set1_epi8(static_cast<char>(offset))));
    return out + 64;
}

// A panel's numbers as signed bytes, without their offset; `following` is the next panel.
template <WeightType kType>
TEXTMILL_FUSED void unpack_panel(const uint8_t* panel, const uint8_t* following, size_t num_groups, uint8_t* out) {
    using Place = GroupBytes<kType>;
    for (size_t group = 0; group < num_groups; ++group) {
        const uint8_t* from = panel + group / 2 * Place::kPair + Place::kHead + group % 2 * Place::kNumbers;
        for (size_t vector = 0; vector < Place::kNumbers / 64; ++vector) {
            const Bytes packed = load_bytes(from + vector * 64);
            __builtin_prefetch(following + (from - panel) + vector * 64);
            if constexpr (kType == WeightType::kQ8) {
                out = put_quads(out, packed, 128);
            } else {
                constexpr int kOffset = kType == WeightType::kQ4 ? 8 : 0;
                out = put_quads(out, low_nibbles(packed), kOffset);
                out = put_quads(out, high_nibbles(packed), kOffset);
            }
        }
    }
}

// What belongs to each row and group, those of the sixteen rows of a tile side by side: [rows / 16][groups][16].
TEXTMILL_FUSED void gather_rows_of_tiles(const float* from, size_t num_rows, size_t num_groups, size_t stride,
                                         float* out) {
    for (size_t row = 0; row < num_rows; ++row) {
        float* const to = out + row / kTileRows * num_groups * kTileRows + row % kTileRows;
        for (size_t group = 0; group < num_groups; ++group) {
            to[group * kTileRows] = from[row * stride + group];
        }
    }
}

// Four tiles of sums, two of numbers of sixteen rows and two of weights, for the 32 columns of a group.
TEXTMILL_FUSED TileConfig group_config() {
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

// A group of a panel against sixteen rows of inputs.
struct GroupStep {
    size_t tile = 0;
    size_t group = 0;

    TEXTMILL_FUSED void next(size_t num_groups) {
        ++group;
        const bool is_last = group == num_groups;
        group = is_last ? 0 : group;
        tile += is_last ? 1 : 0;
    }
};

constexpr size_t kSumsOfStep = kTileRows * kPanelRows;

// What all panels of a product share.
struct GroupInputs {
    const int8_t* numbers;  // a row `stride` from the next
    size_t stride;
    size_t num_rows;  // a multiple of sixteen
    size_t num_groups;
    const float* scales;       // as gather_rows_of_tiles puts them
    const float* scaled_sums;  // the same, where weights have a least value
};

template <int kTile>
TEXTMILL_FUSED void begin_step(const GroupInputs& inputs, const uint8_t* unpacked, const GroupStep& step) {
    constexpr int kInput = 4 + kTile % 2;
    constexpr int kWeight = 6 + kTile % 2;
    tile_zero<kTile>();
    tile_load<kInput>(inputs.numbers + step.tile * kTileRows * inputs.stride + step.group * kGroupCols, inputs.stride);
    tile_load<kWeight>(unpacked + step.group * kQ8GroupBytes, 64);
    tile_dot_quads<kTile, kInput, kWeight>();
}

// Scales the sums of a group and adds them, in the order of multiply_groups.
template <WeightType kType>
TEXTMILL_FUSED void end_step(const GroupInputs& inputs, const uint8_t* packed, const GroupStep& step,
                             const int32_t* group_sums, Floats (&sums)[kTileRows]) {
    using Place = GroupBytes<kType>;
    const size_t at = (step.tile * inputs.num_groups + step.group) * kTileRows;
    const auto* const line =
        reinterpret_cast<const uint16_t*>(packed + step.group / 2 * Place::kPair) + step.group % 2 * kPanelRows;
    const Floats scales = widen_f16(line);
    // By constant numbers, so that the sums stay in registers beside what is said to touch memory.
    for_each_tile<kTileRows>([&](auto t) TEXTMILL_LAMBDA_FUSED {
        const Floats sum = to_floats(_mm512_load_si512(group_sums + t * kPanelRows));
        sums[t] = multiply_add(sum, multiply(scales, all(inputs.scales[at + t])), sums[t]);
    });
    if constexpr (Place::kHasMin) {
        const Floats leasts = widen_f16(line + kScaleBytes / 2);
        for_each_tile<kTileRows>([&](auto t) TEXTMILL_LAMBDA_FUSED {
            sums[t] = multiply_add(leasts, all(inputs.scaled_sums[at + t]), sums[t]);
        });
    }
}

template <WeightType kType>
TEXTMILL_FUSED void multiply_group_tiles(const Product& product, const GroupInputs& inputs, size_t panel,
                                         uint8_t* unpacked) {
    const size_t num_steps = inputs.num_rows / kTileRows * inputs.num_groups;
    const uint8_t* const packed = product.panels + panel * product.panel_stride;
    alignas(64) int32_t ring[4][kSumsOfStep];
    const uint8_t* const following = panel + 1 < product.num_panels ? packed + product.panel_stride : packed;
    unpack_panel<kType>(packed, following, inputs.num_groups, unpacked);
    GroupStep ahead, step;
    Floats sums[kTileRows];
    for_each_tile<kTileRows>([&](auto t) TEXTMILL_LAMBDA_FUSED { sums[t] = zeros(); });
    // A step's sums are stored while the next is under way, and read in the one after: neither waits for the other.
    for (size_t first = 0; first < num_steps + 2; first += 4) {
        for_each_tile<4>([&](auto i) TEXTMILL_LAMBDA_FUSED {
            constexpr int kBefore = (i + 3) % 4;
            const size_t at = first + i;
            if (at < num_steps) {
                begin_step<i>(inputs, unpacked, ahead);
                ahead.next(inputs.num_groups);
            }
            if (at >= 1 && at <= num_steps) {
                tile_store<kBefore>(ring[kBefore], 64);
            }
            if (at < 2 || at >= num_steps + 2) {
                return;
            }
            end_step<kType>(inputs, packed, step, ring[(i + 2) % 4], sums);
            if (step.group + 1 == inputs.num_groups) {
                for_each_tile<kTileRows>([&](auto t) TEXTMILL_LAMBDA_FUSED {
                    put_sum(product, sums[t], panel, step.tile * kTileRows + t);
                    sums[t] = zeros();
                });
            }
            step.next(inputs.num_groups);
        });
    }
}

// The same bits as multiply_panels: sums of a group are exact, and what follows has its order. Rows that fill no tile
// are multiplied without, panel by panel, while these are near.
template <WeightType kType>
void multiply_quantized_tiles(const Product& product, const Inputs& inputs) {
    if (inputs.num_rows < kTileRows) {
        return multiply_panels<kType>(product, inputs);
    }
    const size_t num_rows = inputs.num_rows / kTileRows * kTileRows;
    const size_t num_groups = (product.num_cols + kGroupCols - 1) / kGroupCols;
    uint8_t* const unpacked = product.scratch;
    float* const scales = reinterpret_cast<float*>(unpacked + num_groups * kQ8GroupBytes);
    float* const scaled_sums = scales + num_rows * num_groups;
    gather_rows_of_tiles(inputs.scales, num_rows, num_groups, inputs.stride / kGroupCols, scales);
    if constexpr (GroupBytes<kType>::kHasMin) {
        gather_rows_of_tiles(inputs.scaled_sums, num_rows, num_groups, inputs.stride / kGroupCols, scaled_sums);
    }
    const GroupInputs shared{inputs.numbers, inputs.stride, num_rows, num_groups, scales, scaled_sums};
    const TilesInUse tiles(group_config());
    for (size_t panel = 0; panel < product.num_panels; ++panel) {
        multiply_group_tiles<kType>(product, shared, panel, unpacked);
        multiply_rows<kType, 1>(product, inputs, panel, num_rows);
    }
}

}  // namespace
}  // namespace textmill::engine
