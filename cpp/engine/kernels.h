// What the forward pass is made of, compiled for each tier of instructions; which one runs is decided at run time.
//
// Within a tier, what a kernel writes for a token depends on that token and the weights (and what it attends to) alone,
// bit for bit: sums run over the columns in one fixed order, however many tokens stand beside it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/kv_layout.h"
#include "engine/panels.h"

namespace textmill::engine {

// Rows of inputs to a product, prepared in the forms that the weights' types ask for; only those are filled.
// All are padded with zeros to a multiple of 32 columns (`stride`).
struct Inputs {
    size_t num_rows = 0;
    size_t stride = 0;                   // columns
    const float* values = nullptr;       // [rows][stride]
    const uint8_t* pairs = nullptr;      // [rows][stride / 2], pair_bytes each
    const int8_t* numbers = nullptr;     // [rows][stride]: eight bits, rounded in groups of 32
    const float* scales = nullptr;       // [rows][stride / 32]
    const float* scaled_sums = nullptr;  // the same: scale times the sum of the group's numbers
    const int32_t* sums = nullptr;       // the same: the sum of the group's numbers
};

// What a row of inputs is written to as numbers of eight bits.
struct RoundedRow {
    int8_t* numbers;
    float* scales;
    float* scaled_sums;
    int32_t* sums;
};

// out[row][16 * panel + lane]
struct Product {
    const uint8_t* panels;
    size_t panel_stride;
    size_t num_panels;
    size_t num_cols;
    const float* bias;  // null, or for each output
    float* out;
    size_t out_stride;
    bool adds;         // to what stands in `out`
    uint8_t* scratch;  // product_scratch_bytes
};

// Queries of neighbouring tokens and of the heads that share a key-value head, against one split of the text. Row
// token * group + head of the group; its partial result is [maximum, sum of weights, unused x 14, values x padded_dim],
// before division by the sum. The maximum is minus infinity where no token of the split may be seen.
struct AttentionTask {
    const float* queries;  // of the first token and head; heads are head_dim apart
    size_t query_stride;   // between tokens
    size_t num_tokens;
    size_t group;  // query heads for one key-value head
    size_t head_dim;
    float scale;            // of scores
    size_t first_position;  // of the first token
    size_t window;          // how many tokens a query sees, itself included; 0 for all
    const uint8_t* blocks;  // this layer's and key-value head's part of block 0
    size_t block_stride;    // bytes from one block to the next
    const int32_t* table;   // the text's blocks from its beginning
    size_t split_begin;     // tokens, a multiple of the block
    size_t split_end;
    uint8_t* scratch;  // attention_scratch_bytes
    float* partials;

    TEXTMILL_INLINE const uint8_t* block_of(size_t token) const {
        return blocks + static_cast<size_t>(table[token / kBlockTokens]) * block_stride;
    }
};

inline constexpr size_t kPartialHead = 16;
// Scores of a split are summed in one go; of splits, in the order of the text. It does not depend on threads or batch.
inline constexpr size_t kSplitTokens = 512;

struct Kernels {
    const char* name;
    size_t pair_bytes;      // of two neighbouring inputs, as a product with bf16 weights takes them
    size_t attention_rows;  // of queries that a task of many tokens has at most

    std::array<void (*)(const Product&, const Inputs&), kNumWeightTypes> multiply;

    // x / sqrt(mean(x^2) + eps) * weight (arXiv:1910.07467); `num_padded` floats are read, and zero beyond `num`.
    void (*rms_norm)(const float* x, const float* weight, size_t num, size_t num_padded, float eps, float* out);
    void (*to_pairs)(const float* row, size_t num, uint8_t* pairs);
    void (*to_numbers)(const float* row, size_t num, const RoundedRow& out);
    // silu(gate) * up into gate (arXiv:2002.05202)
    void (*swiglu)(float* gate, const float* up, size_t num);
    // Turns the pair (i, i + dim / 2) of a head by an angle (arXiv:2104.09864).
    void (*rotate)(float* head, const float* cosines, const float* sines, size_t dim);

    // Keys and values of the token at place `slot` of a block; `block` is the head's part.
    void (*store_kv)(const KvLayout& layout, uint8_t* block, size_t slot, const float* key, const float* value);
    std::array<void (*)(const AttentionTask&), kNumKvTypes> attend;
    // Adds the partial result of the next split to `sum`, which begins with a maximum of minus infinity.
    void (*fold)(float* sum, const float* partial, size_t padded_dim);
    // The `dim` values of a result, divided by its sum of weights.
    void (*divide)(const float* sum, size_t dim, float* out);
};

size_t product_scratch_bytes(size_t num_rows, size_t num_cols);
size_t attention_scratch_bytes(size_t num_rows, size_t padded_dim);

const Kernels& portable_kernels();
#if defined(__x86_64__)
const Kernels& avx512_kernels();
#endif

// The best tier that the processor has, up to the one that TEXTMILL_ISA names (tiers.h). Throws std::invalid_argument
// for another name.
const Kernels& kernels_of_this_machine();

}  // namespace textmill::engine
