#include "engine/panel_packing.h"

#include <algorithm>
#include <cstring>

#include "engine/group_rounding.h"
#include "engine/half.h"

namespace textmill::engine {
namespace {

bool is_finite_f16(uint16_t half) {
    return (half & 0x7c00) != 0x7c00;
}

// Where the parts of a group of 32 columns lie in a panel.
struct GroupPlace {
    uint16_t* scales;
    uint16_t* leasts;  // null without
    uint8_t* numbers;
};

GroupPlace place_of(WeightType type, uint8_t* panel, size_t group) {
    const bool has_min = type == WeightType::kQ4Min;
    const size_t group_bytes = type == WeightType::kQ8 ? kQ8GroupBytes : kQ4GroupBytes;
    const size_t head_bytes = has_min ? 2 * kScaleBytes : kScaleBytes;
    uint8_t* const pair = panel + group / 2 * (head_bytes + 2 * group_bytes);
    const size_t in_line = group % 2 * kPanelRows;
    return {reinterpret_cast<uint16_t*>(pair) + in_line,
            has_min ? reinterpret_cast<uint16_t*>(pair + kScaleBytes) + in_line : nullptr,
            pair + head_bytes + group % 2 * group_bytes};
}

// Numbers from 0 to 255 of one row's group into its panel.
void put_bytes(uint8_t* numbers, size_t row, const uint8_t* values) {
    for (size_t col = 0; col < kGroupCols; ++col) {
        numbers[col / 4 * 64 + row * 4 + col % 4] = values[col];
    }
}

// Numbers from 0 to 15.
void put_nibbles(uint8_t* numbers, size_t row, const uint8_t* values) {
    for (size_t col = 0; col < kGroupCols; col += 8) {
        for (size_t i = 0; i < 4; ++i) {
            numbers[col / 8 * 64 + row * 4 + i] = static_cast<uint8_t>(values[col + i] | values[col + 4 + i] << 4);
        }
    }
}

void put_group(WeightType type, const GroupPlace& place, size_t row, const RoundedGroup& group) {
    place.scales[row] = group.scale;
    if (place.leasts != nullptr) {
        place.leasts[row] = group.least;
    }
    if (type == WeightType::kQ8) {
        put_bytes(place.numbers, row, group.numbers);
    } else {
        put_nibbles(place.numbers, row, group.numbers);
    }
}

uint32_t read_four(const uint8_t* bytes) {
    uint32_t four;
    std::memcpy(&four, bytes, sizeof(four));
    return four;
}

// The numbers of a block of the file, four at a time: a panel of its type holds them as they are, in another order.
void copy_q8_numbers(const uint8_t* packed, size_t row, uint8_t* numbers) {
    auto* const out = reinterpret_cast<uint32_t*>(numbers) + row;
    for (size_t i = 0; i < kGroupCols / 4; ++i) {
        out[i * kPanelRows] = read_four(packed + 4 * i) ^ 0x80808080u;  // 128 added to signed bytes
    }
}

// In the file the low halves of 16 bytes are columns 0 to 15, the high ones 16 to 31.
void copy_q4_numbers(const uint8_t* packed, size_t row, uint8_t* numbers) {
    auto* const out = reinterpret_cast<uint32_t*>(numbers) + row;
    constexpr uint32_t kLow = 0x0f0f0f0fu;
    for (size_t i = 0; i < 2; ++i) {
        const uint32_t first = read_four(packed + 8 * i);
        const uint32_t second = read_four(packed + 8 * i + 4);
        out[i * kPanelRows] = (first & kLow) | (second & kLow) << 4;
        out[(i + 2) * kPanelRows] = (first >> 4 & kLow) | (second & ~kLow);
    }
}

bool holds_as_it_is(WeightType type, StoredType stored) {
    return (type == WeightType::kQ8 && stored == StoredType::kQ8_0) ||
           (type == WeightType::kQ4 && stored == StoredType::kQ4_0) ||
           (type == WeightType::kQ4Min && stored == StoredType::kQ4_1);
}

bool copy_blocks(WeightType type, StoredType stored, const PanelRows& rows, size_t num_cols, uint8_t* out) {
    const size_t block_bytes = layout_of(stored).block_bytes;
    bool is_finite = true;
    for (size_t group = 0; group < num_cols / kGroupCols; ++group) {
        const GroupPlace place = place_of(type, out, group);
        for (size_t row = 0; row < kPanelRows && rows[row] != nullptr; ++row) {
            const uint8_t* block = rows[row] + group * block_bytes;
            const auto take_half = [&](uint16_t* to) {
                std::memcpy(to + row, block, sizeof(uint16_t));
                is_finite = is_finite && is_finite_f16(to[row]);
                block += sizeof(uint16_t);
            };
            take_half(place.scales);
            if (place.leasts != nullptr) {
                take_half(place.leasts);
            }
            if (type == WeightType::kQ8) {
                copy_q8_numbers(block, row, place.numbers);
            } else {
                copy_q4_numbers(block, row, place.numbers);
            }
        }
    }
    return is_finite;
}

void put_f32(uint8_t* out, size_t row, const float* values, size_t num_cols) {
    auto* const panel = reinterpret_cast<float*>(out);
    for (size_t col = 0; col < num_cols; ++col) {
        panel[col * kPanelRows + row] = values[col];
    }
}

// Returns whether none of them was rounded to infinity.
bool put_bf16(uint8_t* out, size_t row, const float* values, size_t num_cols) {
    auto* const panel = reinterpret_cast<uint16_t*>(out);
    uint16_t most = 0;
    for (size_t col = 0; col < num_cols; ++col) {
        const uint16_t rounded = float_to_bf16(values[col]);
        panel[(col / 2 * kPanelRows + row) * 2 + col % 2] = rounded;
        most = std::max(most, static_cast<uint16_t>(rounded & 0x7fff));
    }
    return most < 0x7f80;
}

bool put_rounded(WeightType type, uint8_t* out, size_t row, const float* values, size_t num_cols) {
    bool is_finite = true;
    for (size_t group = 0; group * kGroupCols < num_cols; ++group) {
        float padded[kGroupCols] = {};
        const size_t first = group * kGroupCols;
        std::copy_n(values + first, std::min(kGroupCols, num_cols - first), padded);
        const RoundedGroup rounded = round_group(type, padded);
        is_finite = is_finite && is_finite_f16(rounded.scale) && is_finite_f16(rounded.least);
        put_group(type, place_of(type, out, group), row, rounded);
    }
    return is_finite;
}

}  // namespace

bool pack_panel(WeightType type, StoredType stored, const PanelRows& rows, size_t num_cols, float* scratch,
                uint8_t* out) {
    if (holds_as_it_is(type, stored)) {
        return copy_blocks(type, stored, rows, num_cols, out);
    }
    bool is_finite = true;
    for (size_t row = 0; row < kPanelRows && rows[row] != nullptr; ++row) {
        expand_row(stored, rows[row], num_cols, scratch);
        is_finite = is_finite && are_finite(scratch, num_cols);
        switch (type) {
            case WeightType::kF32:
                put_f32(out, row, scratch, num_cols);
                break;
            case WeightType::kBF16:
                is_finite = put_bf16(out, row, scratch, num_cols) && is_finite;
                break;
            default:
                is_finite = is_finite && put_rounded(type, out, row, scratch, num_cols);
        }
    }
    return is_finite;
}

}  // namespace textmill::engine
