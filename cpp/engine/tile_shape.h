// How much of a product is summed at once, which is what the registers of a tier hold.
#pragma once

#include <cstddef>

namespace textmill::engine {

struct TileShape {
    size_t panels;
    size_t rows;            // of inputs, against f32 and bf16 weights
    size_t quantized_rows;  // against quantized ones
    size_t panels_of_one_row;
    size_t score_blocks;  // of keys, against eight rows of queries
    size_t value_rows;    // of softmax weights, against 64 dimensions of values
};

}  // namespace textmill::engine
