// The matrix registers of AMX: eight tiles of 16 rows of 64 bytes. GCC 12's own wrappers do not say what memory they
// read and write, so that a compiler may leave out what was stored for them; these do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "engine/inline.h"

namespace textmill::engine {
namespace {

constexpr size_t kTileRows = 16;
constexpr size_t kTileBytes = 1024;

// Rows, and bytes of a row, of each tile (Intel's manual, volume 1, chapter 18: palette 1).
struct alignas(64) TileConfig {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};

    TEXTMILL_FUSED void set(size_t tile, size_t num_rows, size_t num_bytes) {
        rows[tile] = static_cast<uint8_t>(num_rows);
        row_bytes[tile] = static_cast<uint16_t>(num_bytes);
    }
};

// Tiles are shaped, and zero, from here to the end of the scope. While they are in use, each switch of threads saves
// them.
class TilesInUse {
  public:
    TEXTMILL_FUSED explicit TilesInUse(const TileConfig& config) { use(config); }
    TEXTMILL_FUSED ~TilesInUse() { asm volatile("tilerelease"); }
    TilesInUse(const TilesInUse&) = delete;
    TilesInUse& operator=(const TilesInUse&) = delete;

    TEXTMILL_FUSED void use(const TileConfig& config) { asm volatile("ldtilecfg %0" : : "m"(config)); }
};

template <int kTile>
TEXTMILL_FUSED void tile_zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
template <int kTile>
TEXTMILL_FUSED void tile_load(const void* from, size_t stride) {
    asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(kTile), "r"(from), "r"(stride) : "memory");
}
template <int kTile>
TEXTMILL_FUSED void tile_store(void* to, size_t stride) {
    asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(kTile), "r"(to), "r"(stride) : "memory");
}
// sum[m][n] += a[m] * b[n]: rows of a are pairs of bf16 (quads of signed bytes), row k of b has pair (quad) k of all n.
template <int kSum, int kA, int kB>
TEXTMILL_FUSED void tile_dot_pairs() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
}
template <int kSum, int kA, int kB>
TEXTMILL_FUSED void tile_dot_quads() {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kA), "i"(kB));
}

// f(0), f(1), ... f(kCount - 1), each number a constant.
template <int kCount, typename F, int kAt = 0>
TEXTMILL_FUSED void for_each_tile(F&& f) {
    if constexpr (kAt < kCount) {
        f(std::integral_constant<int, kAt>{});
        for_each_tile<kCount, F, kAt + 1>(std::forward<F>(f));
    }
}

}  // namespace
}  // namespace textmill::engine
