// Weights as the kernels read them: panels of 16 rows, the columns one after the other, so that a vector's lanes are
// rows and one value of the input serves them all. Decoding, batches and prefill read the same panels in the same
// order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "engine/huge_array.h"
#include "engine/inline.h"
#include "engine/stored_rows.h"
#include "engine/thread_pool.h"

namespace textmill::engine {

// How a panel keeps its values. kQ8, kQ4 and kQ4Min have a float16 scale for each 32 columns of a row, kQ4Min a least
// value too: they hold what ggml's Q8_0, Q4_0 and Q4_1 hold.
enum class WeightType : uint8_t { kF32, kBF16, kQ8, kQ4, kQ4Min };
inline constexpr size_t kNumWeightTypes = 5;

inline constexpr size_t kPanelRows = 16;
inline constexpr size_t kGroupCols = 32;

TEXTMILL_INLINE size_t round_up(size_t number, size_t multiple) {
    return (number + multiple - 1) / multiple * multiple;
}

constexpr TEXTMILL_INLINE bool is_quantized(WeightType type) {
    return type >= WeightType::kQ8;
}

// The bytes of 32 columns of 16 rows, without their scales.
inline constexpr size_t kQ8GroupBytes = kPanelRows * kGroupCols;
inline constexpr size_t kQ4GroupBytes = kPanelRows * kGroupCols / 2;
// The scales (or least values) of two groups fill a cache line, which stands before them:
//     scales of groups 0 and 1 | least values of both (kQ4Min) | group 0 | group 1 | scales of groups 2 and 3 | ...
inline constexpr size_t kScaleBytes = 64;

// kF32    64 bytes a column: 16 rows
// kBF16   64 bytes for two columns: 16 rows of both; zeros after the last up to a multiple of 32 columns
// kQ8     64 bytes for four columns: 16 rows of four numbers, 128 added to each
// kQ4     64 bytes for eight columns: 16 rows of four bytes, columns 0 to 3 in their low halves, 4 to 7 in the high
// ones
size_t panel_bytes(WeightType type, size_t num_cols);

class Panels {
  public:
    Panels() = default;
    Panels(WeightType type, size_t num_rows, size_t num_cols);

    WeightType type() const { return type_; }
    size_t num_rows() const { return num_rows_; }
    size_t num_cols() const { return num_cols_; }
    size_t num_panels() const { return (num_rows_ + kPanelRows - 1) / kPanelRows; }
    size_t panel_stride() const { return panel_stride_; }
    size_t num_bytes() const { return data_.size(); }
    const uint8_t* data() const { return data_.data(); }
    bool empty() const { return data_.empty(); }

    // Takes the rows of a stored tensor; row i is row `row_order[i]` of `data` unless it is null. Returns the first
    // row of a panel that holds a value which is not finite, or which the type cannot hold, if there is one.
    std::optional<size_t> fill(StoredType stored, const uint8_t* data, const int64_t* row_order, ThreadPool& pool);

  private:
    WeightType type_ = WeightType::kF32;
    size_t num_rows_ = 0;
    size_t num_cols_ = 0;
    size_t panel_stride_ = 0;
    HugeArray<uint8_t> data_;
};

}  // namespace textmill::engine
