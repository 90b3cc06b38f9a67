#include "engine/panels.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "engine/panel_packing.h"

namespace textmill::engine {

size_t panel_bytes(WeightType type, size_t num_cols) {
    const size_t num_groups = (num_cols + kGroupCols - 1) / kGroupCols;
    const size_t num_pairs = (num_groups + 1) / 2;
    switch (type) {
        case WeightType::kF32:
            return num_cols * kPanelRows * sizeof(float);
        case WeightType::kBF16:
            return round_up(num_cols, kGroupCols) * kPanelRows * sizeof(uint16_t);
        case WeightType::kQ8:
            return num_groups * kQ8GroupBytes + num_pairs * kScaleBytes;
        case WeightType::kQ4:
            return num_groups * kQ4GroupBytes + num_pairs * kScaleBytes;
        case WeightType::kQ4Min:
            return num_groups * kQ4GroupBytes + num_pairs * 2 * kScaleBytes;
    }
    return 0;
}

Panels::Panels(WeightType type, size_t num_rows, size_t num_cols)
    : type_(type),
      num_rows_(num_rows),
      num_cols_(num_cols),
      panel_stride_(panel_bytes(type, num_cols)),
      data_(num_panels() * panel_stride_) {}

std::optional<size_t> Panels::fill(StoredType stored, const uint8_t* data, const int64_t* row_order, ThreadPool& pool) {
    const size_t stored_bytes = row_bytes(stored, num_cols_);
    std::atomic<size_t> bad_panel{num_panels()};
    std::vector<std::vector<float>> scratch(pool.num_threads(), std::vector<float>(num_cols_));
    pool.run([&](unsigned thread) {
        const size_t begin = num_panels() * thread / pool.num_threads();
        const size_t end = num_panels() * (thread + 1) / pool.num_threads();
        for (size_t panel = begin; panel < end; ++panel) {
            PanelRows rows{};
            for (size_t i = 0; i < std::min(kPanelRows, num_rows_ - panel * kPanelRows); ++i) {
                const size_t row = panel * kPanelRows + i;
                const size_t place = row_order == nullptr ? row : static_cast<size_t>(row_order[row]);
                rows[i] = data + place * stored_bytes;
            }
            if (!pack_panel(type_, stored, rows, num_cols_, scratch[thread].data(),
                            data_.data() + panel * panel_stride_)) {
                size_t before = bad_panel.load();
                while (panel < before && !bad_panel.compare_exchange_weak(before, panel)) {
                }
            }
        }
    });
    return bad_panel.load() < num_panels() ? std::optional(bad_panel.load() * kPanelRows) : std::nullopt;
}

}  // namespace textmill::engine
