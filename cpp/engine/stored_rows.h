// Rows of a tensor as files hold them, by ggml's types, and the floats that they stand for.
// https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace textmill::engine {

enum class StoredType : uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K };

struct StoredLayout {
    std::string_view name;
    size_t block_size;   // values
    size_t block_bytes;  // which hold them
};

const StoredLayout& layout_of(StoredType type);
std::optional<StoredType> stored_type_named(std::string_view name);

// Bytes of a row; `num_values` must be a multiple of the block.
inline size_t row_bytes(StoredType type, size_t num_values) {
    return num_values / layout_of(type).block_size * layout_of(type).block_bytes;
}

bool are_finite(const float* values, size_t num_values);

// Writes the values of a row, exactly.
void expand_row(StoredType type, const uint8_t* row, size_t num_values, float* values);

}  // namespace textmill::engine
