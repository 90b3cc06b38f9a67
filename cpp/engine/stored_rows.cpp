#include "engine/stored_rows.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "engine/half.h"

namespace textmill::engine {
namespace {

constexpr std::array<StoredLayout, 11> kLayouts = {{
    {"F32", 1, 4},
    {"F16", 1, 2},
    {"BF16", 1, 2},
    {"Q8_0", 32, 34},
    {"Q4_0", 32, 18},
    {"Q4_1", 32, 20},
    {"Q5_0", 32, 22},
    {"Q5_1", 32, 24},
    {"Q4_K", 256, 144},
    {"Q5_K", 256, 176},
    {"Q6_K", 256, 210},
}};

uint16_t read_u16(const uint8_t* bytes) {
    uint16_t value;
    std::memcpy(&value, bytes, sizeof(value));
    return value;
}

float read_f16(const uint8_t* bytes) {
    return f16_to_float(read_u16(bytes));
}

void expand_q8_0(const uint8_t* block, float* values) {
    const float scale = read_f16(block);
    for (size_t i = 0; i < 32; ++i) {
        values[i] = scale * static_cast<float>(static_cast<int8_t>(block[2 + i]));
    }
}

// Four bits each, first the low halves of all bytes and then the high ones; a fifth bit each in `high`, value i's bit
// i.
template <bool kHasFifth>
void expand_small(const uint8_t* packed, uint32_t high, float scale, float least, int offset, float* values) {
    for (size_t i = 0; i < 32; ++i) {
        int number = i < 16 ? packed[i] & 15 : packed[i - 16] >> 4;
        if constexpr (kHasFifth) {
            number |= static_cast<int>(high >> i & 1) << 4;
        }
        values[i] = scale * static_cast<float>(number - offset) + least;
    }
}

uint32_t read_u32(const uint8_t* bytes) {
    uint32_t value;
    std::memcpy(&value, bytes, sizeof(value));
    return value;
}

struct SixBits {
    int scale;
    int least;
};

// Group `group` of eight: its scale and least value, six bits each, in twelve bytes.
SixBits six_bits(const uint8_t* packed, size_t group) {
    if (group < 4) {
        return {packed[group] & 63, packed[group + 4] & 63};
    }
    return {(packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4, packed[group + 4] >> 4 | (packed[group] >> 6)
                                                                                                   << 4};
}

// Eight groups of 32, each with a scale and a least value, in turn scaled by two of the block's own. Of each 32 bytes
// the low halves are one group and the high halves the next; bit g of `fifths` is the fifth bit of group g.
void expand_k(const uint8_t* block, const uint8_t* fifths, const uint8_t* numbers, float* values) {
    const float scale = read_f16(block);
    const float least = read_f16(block + 2);
    for (size_t group = 0; group < 8; ++group) {
        const SixBits own = six_bits(block + 4, group);
        const float group_scale = scale * static_cast<float>(own.scale);
        const float group_least = least * static_cast<float>(own.least);
        for (size_t i = 0; i < 32; ++i) {
            const uint8_t both = numbers[group / 2 * 32 + i];
            int number = group % 2 == 0 ? both & 15 : both >> 4;
            if (fifths != nullptr) {
                number |= (fifths[i] >> group & 1) << 4;
            }
            values[group * 32 + i] = group_scale * static_cast<float>(number) - group_least;
        }
    }
}

// 256 values: the low four bits in 128 bytes, two high bits in 64, a scale for each sixteen, and one for all.
void expand_q6_k(const uint8_t* block, float* values) {
    const float scale = read_f16(block + 208);
    for (size_t i = 0; i < 256; ++i) {
        const size_t half = i / 128;
        const size_t quarter = i % 128 / 32;
        const uint8_t low = block[half * 64 + i % 64];
        const uint8_t high = block[128 + half * 32 + i % 32];
        const int number = (quarter < 2 ? low & 15 : low >> 4) | (high >> (2 * quarter) & 3) << 4;
        const auto group_scale = static_cast<float>(static_cast<int8_t>(block[192 + i / 16]));
        values[i] = scale * group_scale * static_cast<float>(number - 32);
    }
}

void expand_block(StoredType type, const uint8_t* block, float* values) {
    switch (type) {
        case StoredType::kF32:
            std::memcpy(values, block, sizeof(float));
            break;
        case StoredType::kF16:
            *values = read_f16(block);
            break;
        case StoredType::kBF16:
            *values = bf16_to_float(read_u16(block));
            break;
        case StoredType::kQ8_0:
            expand_q8_0(block, values);
            break;
        case StoredType::kQ4_0:
            expand_small<false>(block + 2, 0, read_f16(block), 0.0f, 8, values);
            break;
        case StoredType::kQ4_1:
            expand_small<false>(block + 4, 0, read_f16(block), read_f16(block + 2), 0, values);
            break;
        case StoredType::kQ5_0:
            expand_small<true>(block + 6, read_u32(block + 2), read_f16(block), 0.0f, 16, values);
            break;
        case StoredType::kQ5_1:
            expand_small<true>(block + 8, read_u32(block + 4), read_f16(block), read_f16(block + 2), 0, values);
            break;
        case StoredType::kQ4_K:
            expand_k(block, nullptr, block + 16, values);
            break;
        case StoredType::kQ5_K:
            expand_k(block, block + 16, block + 48, values);
            break;
        case StoredType::kQ6_K:
            expand_q6_k(block, values);
            break;
    }
}

}  // namespace

const StoredLayout& layout_of(StoredType type) {
    return kLayouts[static_cast<size_t>(type)];
}

std::optional<StoredType> stored_type_named(std::string_view name) {
    for (size_t i = 0; i < kLayouts.size(); ++i) {
        if (kLayouts[i].name == name) {
            return static_cast<StoredType>(i);
        }
    }
    return std::nullopt;
}

bool are_finite(const float* values, size_t num_values) {
    uint32_t most = 0;
    for (size_t i = 0; i < num_values; ++i) {
        most = std::max(most, std::bit_cast<uint32_t>(values[i]) & 0x7fffffffu);
    }
    return most < 0x7f800000u;
}

void expand_row(StoredType type, const uint8_t* row, size_t num_values, float* values) {
    if (type == StoredType::kF32) {
        std::memcpy(values, row, num_values * sizeof(float));
        return;
    }
    const StoredLayout& layout = layout_of(type);
    for (size_t i = 0; i < num_values; i += layout.block_size, row += layout.block_bytes) {
        expand_block(type, row, values + i);
    }
}

}  // namespace textmill::engine
