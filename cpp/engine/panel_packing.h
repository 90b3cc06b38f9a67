// One panel out of 16 stored rows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "engine/panels.h"

namespace textmill::engine {

// Null where a panel at the end has fewer rows; those are zero.
using PanelRows = std::array<const uint8_t*, kPanelRows>;

// Returns whether all values are finite. `out` is zero before; `scratch` has room for a row.
bool pack_panel(WeightType type, StoredType stored, const PanelRows& rows, size_t num_cols, float* scratch,
                uint8_t* out);

}  // namespace textmill::engine
