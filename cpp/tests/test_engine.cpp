// The kernels of each tier against sums in double, over all tail sizes; and that no token's result knows its
// neighbours.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "engine/half.h"
#include "engine/kernels.h"
#include "engine/panels.h"
#include "engine/stored_rows.h"
#include "engine/thread_pool.h"
#include "engine/tiers.h"

namespace {

using namespace textmill::engine;

void check(bool condition, const char* what, int line) {
    if (!condition) {
        std::fprintf(stderr, "test_engine.cpp:%d: %s\n", line, what);
        std::exit(1);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

std::vector<const Kernels*> kernels_here() {
    std::vector<const Kernels*> here;
    for (const Tier& tier : tiers()) {
        if (tier.is_supported()) {
            here.push_back(&tier.kernels());
        } else {
            std::printf("skipped: this processor has not all of %s\n", tier.name);
        }
    }
    return here;
}

// The kernels to test, chosen once.
const std::vector<const Kernels*>& each_kernels() {
    static const std::vector<const Kernels*> here = kernels_here();
    return here;
}

std::vector<float> random_floats(size_t count, unsigned seed, float deviation = 1.0f) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0.0f, deviation);
    std::vector<float> values(count);
    std::generate(values.begin(), values.end(), [&] { return normal(generator); });
    return values;
}

void test_half_floats() {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const float value = f16_to_float(half);
        if (!std::isnan(value)) {
            CHECK(float_to_f16(value) == half);
        }
        const float wide = bf16_to_float(half);
        CHECK(std::isnan(wide) ? std::isnan(bf16_to_float(float_to_bf16(wide))) : float_to_bf16(wide) == half);
    }
    CHECK(float_to_f16(65504.0f) == 0x7bff);
    CHECK(float_to_f16(65520.0f) == 0x7c00);
    CHECK(float_to_f16(1e9f) == 0x7c00);
    CHECK(float_to_f16(-2.98e-8f) == 0x8000);  // just under half of the smallest
    CHECK(float_to_f16(1.0f + 0x1p-11f) == 0x3c00 && float_to_f16(1.0f + 0x3p-11f) == 0x3c02);  // ties to even
    CHECK(std::isnan(f16_to_float(float_to_f16(std::numeric_limits<float>::quiet_NaN()))));
}

// Zeros that end where a page begins which may not be touched.
template <typename T>
class Guarded {
  public:
    explicit Guarded(size_t size) {
        const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
        const size_t used = round_up(size * sizeof(T), page);
        mapped_bytes_ = used + page;
        mapped_ = static_cast<std::byte*>(
            mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        CHECK(mapped_ != MAP_FAILED && mprotect(mapped_ + used, page, PROT_NONE) == 0);
        data_ = reinterpret_cast<T*>(mapped_ + used - size * sizeof(T));
    }
    ~Guarded() { munmap(mapped_, mapped_bytes_); }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;

    T* data() { return data_; }
    T& operator[](size_t i) { return data_[i]; }
    const T& operator[](size_t i) const { return data_[i]; }

  private:
    std::byte* mapped_;
    size_t mapped_bytes_;
    T* data_;
};

// Rows of inputs in all their forms.
struct Prepared {
    Guarded<float> values;
    Guarded<uint8_t> pairs;
    Guarded<int8_t> numbers;
    Guarded<float> scales, scaled_sums;
    Guarded<int32_t> sums;
    Inputs inputs;

    Prepared(const Kernels& kernels, const std::vector<float>& rows, size_t num_rows, size_t num_cols)
        : Prepared(num_rows, round_up(num_cols, kGroupCols), kernels.pair_bytes) {
        const size_t stride = inputs.stride;
        for (size_t row = 0; row < num_rows; ++row) {
            float* const row_values = values.data() + row * stride;
            std::copy_n(rows.data() + row * num_cols, num_cols, row_values);
            kernels.to_pairs(row_values, stride, pairs.data() + row * stride / 2 * kernels.pair_bytes);
            const size_t group = row * stride / kGroupCols;
            kernels.to_numbers(row_values, stride,
                               {numbers.data() + row * stride, scales.data() + group, scaled_sums.data() + group,
                                sums.data() + group});
        }
    }

  private:
    Prepared(size_t num_rows, size_t stride, size_t pair_bytes)
        : values(num_rows * stride),
          pairs(num_rows * stride / 2 * pair_bytes),
          numbers(num_rows * stride),
          scales(num_rows * stride / kGroupCols),
          scaled_sums(num_rows * stride / kGroupCols),
          sums(num_rows * stride / kGroupCols),
          inputs{num_rows,       stride,        values.data(),      pairs.data(),
                 numbers.data(), scales.data(), scaled_sums.data(), sums.data()} {}
};

// What a panel keeps of weights, and what a product takes of inputs, in double.
double kept_weight(const Panels& panels, size_t row, size_t col) {
    const uint8_t* const panel = panels.data() + row / kPanelRows * panels.panel_stride();
    const size_t lane = row % kPanelRows;
    if (panels.type() == WeightType::kF32) {
        return reinterpret_cast<const float*>(panel)[col * kPanelRows + lane];
    }
    if (panels.type() == WeightType::kBF16) {
        return bf16_to_float(reinterpret_cast<const uint16_t*>(panel)[(col / 2 * kPanelRows + lane) * 2 + col % 2]);
    }
    const bool has_min = panels.type() == WeightType::kQ4Min;
    const bool is_q8 = panels.type() == WeightType::kQ8;
    const size_t head = has_min ? 128 : 64;
    const size_t group_bytes = is_q8 ? kQ8GroupBytes : kQ4GroupBytes;
    const size_t group = col / 32;
    const uint8_t* const pair = panel + group / 2 * (head + 2 * group_bytes);
    const auto* const scales = reinterpret_cast<const uint16_t*>(pair) + group % 2 * 16;
    const uint8_t* const numbers = pair + head + group % 2 * group_bytes;
    const double scale = f16_to_float(scales[lane]);
    if (is_q8) {
        return scale * (numbers[col % 32 / 4 * 64 + lane * 4 + col % 4] - 128);
    }
    const uint8_t both = numbers[col % 32 / 8 * 64 + lane * 4 + col % 4];
    const int number = col % 8 < 4 ? both & 15 : both >> 4;
    return has_min ? scale * number + static_cast<double>(f16_to_float(scales[32 + lane])) : scale * (number - 8);
}

double taken_input(const Prepared& p, WeightType type, bool rounds_pairs, size_t row, size_t col) {
    const size_t at = row * p.inputs.stride + col;
    if (is_quantized(type)) {
        return static_cast<double>(p.numbers[at]) * p.scales[at / kGroupCols];
    }
    const float value = p.values[at];
    return type == WeightType::kBF16 && rounds_pairs ? bf16_to_float(float_to_bf16(value)) : value;
}

void test_products(const Kernels& kernels, WeightType type, size_t num_outputs, size_t num_cols, size_t num_rows) {
    ThreadPool pool(2);
    const auto seed = static_cast<unsigned>(num_outputs * 1000 + num_cols * 10 + num_rows);
    const std::vector<float> weights = random_floats(num_outputs * num_cols, seed, 0.1f);
    Panels panels(type, num_outputs, num_cols);
    CHECK(!panels.fill(StoredType::kF32, reinterpret_cast<const uint8_t*>(weights.data()), nullptr, pool));
    const std::vector<float> rows = random_floats(num_rows * num_cols, seed + 1);
    const Prepared prepared(kernels, rows, num_rows, num_cols);
    const size_t stride = panels.num_panels() * kPanelRows;
    std::vector<float> bias(stride, 0.0f);
    std::copy_n(random_floats(num_outputs, seed + 2).begin(), num_outputs, bias.begin());
    std::vector<float> out(num_rows * stride, 1.0f);
    Guarded<uint8_t> scratch(product_scratch_bytes(num_rows, num_cols));
    const auto multiply = [&](const Inputs& inputs, const float* with_bias, float* to, bool adds) {
        kernels.multiply[static_cast<size_t>(type)]({panels.data(), panels.panel_stride(), panels.num_panels(),
                                                     num_cols, with_bias, to, stride, adds, scratch.data()},
                                                    inputs);
    };
    multiply(prepared.inputs, bias.data(), out.data(), true);
    const bool rounds_pairs = kernels.pair_bytes == 4;
    for (size_t row = 0; row < num_rows; ++row) {
        for (size_t output = 0; output < num_outputs; ++output) {
            double expected = 1.0 + static_cast<double>(bias[output]);
            double magnitude = std::fabs(expected);
            for (size_t col = 0; col < num_cols; ++col) {
                const double product =
                    kept_weight(panels, output, col) * taken_input(prepared, type, rounds_pairs, row, col);
                expected += product;
                magnitude += std::fabs(product);
            }
            // Each of the sum's additions may be off by half a unit of a float in the largest partial sum.
            const double tolerance = 6e-8 * magnitude * std::sqrt(static_cast<double>(num_cols) + 4.0) + 1e-6;
            CHECK(std::fabs(out[row * stride + output] - expected) <= tolerance);
        }
        for (size_t output = num_outputs; output < stride; ++output) {
            CHECK(out[row * stride + output] == 1.0f);
        }
    }
    // Alone, each row gets the same bits.
    std::vector<float> together(num_rows * stride), alone(stride);
    multiply(prepared.inputs, nullptr, together.data(), false);
    for (size_t row = 0; row < num_rows; ++row) {
        Inputs one = prepared.inputs;
        one.num_rows = 1;
        one.values += row * one.stride;
        one.pairs += row * one.stride / 2 * kernels.pair_bytes;
        one.numbers += row * one.stride;
        const size_t group = row * one.stride / kGroupCols;
        one.scales += group;
        one.scaled_sums += group;
        one.sums += group;
        multiply(one, nullptr, alone.data(), false);
        CHECK(std::memcmp(alone.data(), together.data() + row * stride, stride * sizeof(float)) == 0);
    }
}

void test_all_products(const Kernels& kernels) {
    for (size_t type = 0; type < kNumWeightTypes; ++type) {
        for (const size_t num_cols : {1, 2, 3, 31, 32, 33, 63, 64, 65, 96, 160}) {
            for (const size_t num_outputs : {1, 15, 16, 17, 33, 80}) {
                const size_t num_rows = (num_cols * 7 + num_outputs) % 27 + 1;
                test_products(kernels, static_cast<WeightType>(type), num_outputs, num_cols, num_rows);
            }
        }
        for (size_t num_rows = 1; num_rows < 30; ++num_rows) {
            test_products(kernels, static_cast<WeightType>(type), 48, 64, num_rows);
        }
        // More than one tile of rows, and panels that are taken a few at a time.
        for (const size_t num_rows : {31, 32, 33, 47, 64, 70}) {
            test_products(kernels, static_cast<WeightType>(type), 175, 96, num_rows);
        }
    }
}

// The largest numbers of either sign must not run over.
void test_extreme_numbers(const Kernels& kernels) {
    ThreadPool pool(1);
    const size_t num_cols = 4096;
    for (const WeightType type : {WeightType::kQ8, WeightType::kQ4, WeightType::kQ4Min}) {
        for (const float sign : {1.0f, -1.0f}) {
            const std::vector<float> weights(16 * num_cols, sign);
            const std::vector<float> rows(num_cols, -1.0f);
            Panels panels(type, 16, num_cols);
            panels.fill(StoredType::kF32, reinterpret_cast<const uint8_t*>(weights.data()), nullptr, pool);
            const Prepared prepared(kernels, rows, 1, num_cols);
            float out[16];
            Guarded<uint8_t> scratch(product_scratch_bytes(1, num_cols));
            kernels.multiply[static_cast<size_t>(type)](
                {panels.data(), panels.panel_stride(), 1, num_cols, nullptr, out, 16, false, scratch.data()},
                prepared.inputs);
            CHECK(std::fabs(out[3] + sign * 4096.0f) < 4096.0f * 2e-3f);  // float16's scales are off by 2^-11 at most
        }
    }
}

// A panel's 32 columns as they are kept, with scales of one: the numbers of all rows have the same order of columns.
struct KeptGroup {
    WeightType type;
    std::vector<uint8_t> bytes;

    explicit KeptGroup(WeightType weight_type) : type(weight_type), bytes(panel_bytes(weight_type, kGroupCols)) {
        auto* const scales = reinterpret_cast<uint16_t*>(bytes.data());
        std::fill_n(scales, kPanelRows, float_to_f16(1.0f));
    }

    void set(size_t row, size_t col, int kept) {
        if (type == WeightType::kQ8) {
            bytes[kScaleBytes + col / 4 * 64 + row * 4 + col % 4] = static_cast<uint8_t>(kept);
            return;
        }
        uint8_t& both = bytes[kScaleBytes + col / 8 * 64 + row * 4 + col % 4];
        both = static_cast<uint8_t>(col % 8 < 4 ? (both & 0xf0) | kept : (both & 0x0f) | kept << 4);
    }
};

// `kept(row, col)` as Q8 or Q4 keeps it, times `number(col)`: whole numbers, which no tier may round or saturate.
template <typename Kept, typename Number>
void check_exact(const Kernels& kernels, WeightType type, Kept&& kept, Number&& number) {
    const int offset = type == WeightType::kQ8 ? 128 : 8;
    KeptGroup group(type);
    int8_t numbers[kGroupCols];
    int32_t sum = 0;
    int32_t expected[kPanelRows] = {};
    for (size_t col = 0; col < kGroupCols; ++col) {
        numbers[col] = static_cast<int8_t>(number(col));
        sum += numbers[col];
        for (size_t row = 0; row < kPanelRows; ++row) {
            group.set(row, col, kept(row, col));
            expected[row] += (kept(row, col) - offset) * numbers[col];
        }
    }
    const float one = 1.0f;
    const auto scaled_sum = static_cast<float>(sum);
    const Inputs inputs{1, kGroupCols, nullptr, nullptr, numbers, &one, &scaled_sum, &sum};
    float out[kPanelRows];
    Guarded<uint8_t> scratch(product_scratch_bytes(1, kGroupCols));
    kernels.multiply[static_cast<size_t>(type)](
        {group.bytes.data(), group.bytes.size(), 1, kGroupCols, nullptr, out, kPanelRows, false, scratch.data()},
        inputs);
    for (size_t row = 0; row < kPanelRows; ++row) {
        CHECK(out[row] == static_cast<float>(expected[row]));
    }
}

void test_exact_sums(const Kernels& kernels) {
    for (const WeightType type : {WeightType::kQ8, WeightType::kQ4}) {
        const int num_kept = type == WeightType::kQ8 ? 256 : 16;
        // Every weight times every number.
        for (int first = 0; first < num_kept; first += 16) {
            for (int input = -127; input <= 127; ++input) {
                check_exact(
                    kernels, type, [&](size_t row, size_t) { return first + static_cast<int>(row); },
                    [&](size_t) { return input; });
            }
        }
        // The extremes of four neighbours in every combination: those of the weights take 625 / 128 groups.
        const int extremes[] = {0, 1, num_kept / 2 - 1, num_kept / 2, num_kept - 1};
        for (size_t signs = 0; signs < 16; ++signs) {
            for (size_t start = 0; start < 625; start += 128) {
                const auto kept = [&](size_t row, size_t col) {
                    constexpr size_t kPowers[] = {1, 5, 25, 125};
                    return extremes[(start + row * 8 + col / 4) / kPowers[col % 4] % 5];
                };
                check_exact(kernels, type, kept, [&](size_t col) { return (signs >> col % 4 & 1) != 0 ? 127 : -127; });
            }
        }
    }
}

void test_rounding_errors() {
    ThreadPool pool(1);
    const std::vector<float> weights = random_floats(16 * 256, 5, 0.02f);
    double errors[kNumWeightTypes] = {};
    for (size_t type = 0; type < kNumWeightTypes; ++type) {
        Panels panels(static_cast<WeightType>(type), 16, 256);
        panels.fill(StoredType::kF32, reinterpret_cast<const uint8_t*>(weights.data()), nullptr, pool);
        for (size_t i = 0; i < weights.size(); ++i) {
            errors[type] += std::pow(kept_weight(panels, i / 256, i % 256) - static_cast<double>(weights[i]), 2);
        }
        errors[type] = std::sqrt(errors[type] / static_cast<double>(weights.size())) / 0.02;
    }
    // Relative to the deviation of normal weights: 2^-9 and a step of 2 * 2.1 / 254 or 2 * 2.1 / 15 over sqrt(12).
    CHECK(errors[0] == 0.0);
    CHECK(errors[1] < 0.002);
    CHECK(errors[2] < 0.006);
    CHECK(errors[3] < 0.1);
    CHECK(errors[4] < errors[3]);
}

void test_what_is_not_finite() {
    ThreadPool pool(2);
    for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
        for (size_t type = 0; type < kNumWeightTypes; ++type) {
            std::vector<float> weights(40 * 64, 0.5f);
            weights[37 * 64 + 63] = bad;
            Panels panels(static_cast<WeightType>(type), 40, 64);
            const auto row =
                panels.fill(StoredType::kF32, reinterpret_cast<const uint8_t*>(weights.data()), nullptr, pool);
            CHECK(row && *row == 32);
        }
        for (const Kernels* kernels : each_kernels()) {
            std::vector<float> row(64, 0.25f);
            row[40] = bad;
            const Prepared prepared(*kernels, row, 1, 64);
            CHECK(!std::isfinite(prepared.scales[1]) && std::isfinite(prepared.scales[0]));
        }
    }
}

// Exact sums need numbers without the least of eight bits, which has no counterpart.
void test_numbers_are_within_127(const Kernels& kernels) {
    for (const float largest : {1e-45f, 3e-39f, 1.2e-38f, 1e-37f, 1e-36f, 1e-30f, 1.0f, 1e30f, 3.4e38f}) {
        for (unsigned seed = 0; seed < 200; ++seed) {
            std::vector<float> row = random_floats(kGroupCols, seed);
            const float most = std::fabs(*std::max_element(
                row.begin(), row.end(), [](float a, float b) { return std::fabs(a) < std::fabs(b); }));
            std::transform(row.begin(), row.end(), row.begin(), [&](float value) { return value / most * largest; });
            const Prepared prepared(kernels, row, 1, kGroupCols);
            int32_t sum = 0;
            for (size_t i = 0; i < kGroupCols; ++i) {
                CHECK(prepared.numbers[i] >= -127 && prepared.numbers[i] <= 127);
                sum += prepared.numbers[i];
            }
            CHECK(prepared.sums[0] == sum);
        }
    }
}

void test_rows(const Kernels& kernels) {
    for (const size_t num : {1, 15, 16, 32, 33, 576}) {
        const size_t padded = round_up(num, kGroupCols);
        std::vector<float> x = random_floats(padded, 3), weight = random_floats(padded, 4), out(padded);
        std::fill(x.begin() + static_cast<std::ptrdiff_t>(num), x.end(), 0.0f);
        kernels.rms_norm(x.data(), weight.data(), num, padded, 1e-5f, out.data());
        double squares = 0.0;
        for (size_t i = 0; i < num; ++i) {
            squares += static_cast<double>(x[i]) * x[i];
        }
        for (size_t i = 0; i < num; ++i) {
            const double expected = x[i] / std::sqrt(squares / static_cast<double>(num) + 1e-5) * weight[i];
            CHECK(std::fabs(out[i] - expected) <= 1e-6 * std::fabs(expected) + 1e-9);
        }
        std::vector<float> gate = random_floats(padded, 5, 20.0f), up = random_floats(padded, 6);
        gate[0] = -200.0f;
        const std::vector<float> before = gate;
        kernels.swiglu(gate.data(), up.data(), padded);
        for (size_t i = 0; i < padded; ++i) {
            const double expected = before[i] / (1.0 + std::exp(-static_cast<double>(before[i]))) * up[i];
            CHECK(std::fabs(gate[i] - expected) <= 1e-6 * std::fabs(expected) + 1e-30);
        }
        gate[0] = std::numeric_limits<float>::quiet_NaN();
        kernels.swiglu(gate.data(), up.data(), padded);
        CHECK(std::isnan(gate[0]));
    }
}

void test_rotation(const Kernels& kernels) {
    for (const size_t dim : {2, 6, 64, 80}) {
        const std::vector<float> before = random_floats(dim, 8);
        std::vector<float> head = before, cosines(dim / 2), sines(dim / 2);
        for (size_t i = 0; i < dim / 2; ++i) {
            cosines[i] = std::cos(static_cast<float>(i) + 0.3f);
            sines[i] = std::sin(static_cast<float>(i) + 0.3f);
        }
        kernels.rotate(head.data(), cosines.data(), sines.data(), dim);
        for (size_t i = 0; i < dim / 2; ++i) {
            const double c = cosines[i], s = sines[i], x = before[i], y = before[i + dim / 2];
            CHECK(std::fabs(head[i] - (x * c - y * s)) < 1e-6);
            CHECK(std::fabs(head[i + dim / 2] - (y * c + x * s)) < 1e-6);
        }
    }
}

// One head of one text: keys and values in blocks that lie in a scattered order.
struct Text {
    KvLayout layout;
    std::vector<float> keys, values;
    std::vector<int32_t> table;
    std::vector<uint8_t> arena;
    size_t stride;

    Text(const Kernels& kernels, KvType type, size_t head_dim, size_t length)
        : layout{type, head_dim},
          keys(random_floats(length * head_dim, 11)),
          values(random_floats(length * head_dim, 12)),
          stride(round_up(layout.head_bytes(), 64)) {
        const size_t num_blocks = (length + kBlockTokens - 1) / kBlockTokens;
        arena.assign((num_blocks + 3) * stride, 0);
        table.resize(num_blocks + 3);
        std::iota(table.begin(), table.end(), 0);
        std::shuffle(table.begin(), table.end(), std::mt19937(7));
        table.resize(num_blocks);
        for (size_t token = 0; token < length; ++token) {
            uint8_t* const block = arena.data() + static_cast<size_t>(table[token / kBlockTokens]) * stride;
            kernels.store_kv(layout, block, token % kBlockTokens, &keys[token * head_dim], &values[token * head_dim]);
        }
    }
};

std::vector<float> attend(const Kernels& kernels, const Text& text, const std::vector<float>& queries, size_t group,
                          size_t first, size_t num_tokens, size_t window) {
    const size_t dim = text.layout.head_dim;
    const size_t padded = text.layout.padded_dim();
    const size_t record = kPartialHead + padded;
    const size_t rows = num_tokens * group;
    std::vector<uint8_t> scratch(attention_scratch_bytes(rows, padded));
    std::vector<float> partials(rows * record), sums(rows * record, 0.0f), out(rows * dim);
    for (size_t row = 0; row < rows; ++row) {
        sums[row * record] = -std::numeric_limits<float>::infinity();
    }
    AttentionTask task{queries.data() + first * group * dim,
                       group * dim,
                       num_tokens,
                       group,
                       dim,
                       1.0f / std::sqrt(static_cast<float>(dim)),
                       first,
                       window,
                       text.arena.data(),
                       text.stride,
                       text.table.data(),
                       0,
                       0,
                       scratch.data(),
                       partials.data()};
    for (size_t begin = 0; begin < first + num_tokens; begin += kSplitTokens) {
        task.split_begin = begin;
        task.split_end = begin + kSplitTokens;
        kernels.attend[static_cast<size_t>(text.layout.type)](task);
        for (size_t row = 0; row < rows; ++row) {
            kernels.fold(&sums[row * record], &partials[row * record], padded);
        }
    }
    for (size_t row = 0; row < rows; ++row) {
        for (size_t d = 0; d < dim; ++d) {
            out[row * dim + d] = sums[row * record + kPartialHead + d] / sums[row * record + 1];
        }
    }
    return out;
}

void test_attention(const Kernels& kernels, KvType type, size_t head_dim, size_t group, size_t length, size_t window) {
    const Text text(kernels, type, head_dim, length);
    const std::vector<float> queries = random_floats(length * group * head_dim, 13);
    const std::vector<float> together = attend(kernels, text, queries, group, 0, length, window);
    for (size_t token = 0; token < length; token += length / 7 + 1) {
        const std::vector<float> alone = attend(kernels, text, queries, group, token, 1, window);
        CHECK(std::memcmp(alone.data(), &together[token * group * head_dim], alone.size() * sizeof(float)) == 0);
        const size_t begin = window != 0 && token + 1 > window ? token + 1 - window : 0;
        for (size_t head = 0; head < group; ++head) {
            const float* const query = &queries[(token * group + head) * head_dim];
            std::vector<double> weights, expected(head_dim, 0.0);
            double total = 0.0;
            for (size_t other = begin; other <= token; ++other) {
                double score = 0.0;
                for (size_t d = 0; d < head_dim; ++d) {
                    score += static_cast<double>(query[d]) * text.keys[other * head_dim + d];
                }
                weights.push_back(std::exp(score / std::sqrt(static_cast<double>(head_dim))));
                total += weights.back();
            }
            for (size_t other = begin; other <= token; ++other) {
                for (size_t d = 0; d < head_dim; ++d) {
                    expected[d] += weights[other - begin] / total * text.values[other * head_dim + d];
                }
            }
            // bf16 keeps 8 bits of keys, values and weights, int8 7 bits of the largest of a token's.
            const double tolerance = type == KvType::kF32 ? 3e-6 : type == KvType::kBF16 ? 0.04 : 0.06;
            for (size_t d = 0; d < head_dim; ++d) {
                CHECK(std::fabs(alone[head * head_dim + d] - expected[d]) <= tolerance);
            }
        }
    }
}

void test_all_attention(const Kernels& kernels) {
    for (const KvType type : {KvType::kF32, KvType::kBF16, KvType::kInt8}) {
        for (const size_t head_dim : {2, 6, 16, 64, 80}) {
            for (const size_t group : {1, 3, 8}) {
                test_attention(kernels, type, head_dim, group, 37, 0);
                test_attention(kernels, type, head_dim, group, 50, 20);
            }
        }
        test_attention(kernels, type, 64, 3, 1100, 0);
        test_attention(kernels, type, 64, 3, 1100, 600);
        test_attention(kernels, type, 16, 2, 1100, 5);
    }
}

// What kernels make of the same inputs, one after the other.
std::vector<float> results_of(const Kernels& kernels) {
    constexpr size_t kRows = 7, kCols = 96, kOutputs = 48;
    ThreadPool pool(1);
    const std::vector<float> weights = random_floats(kOutputs * kCols, 21, 0.1f);
    const Prepared prepared(kernels, random_floats(kRows * kCols, 22), kRows, kCols);
    std::vector<float> results(prepared.inputs.scales, prepared.inputs.scales + kRows * kCols / kGroupCols);
    for (size_t type = 0; type < kNumWeightTypes; ++type) {
        Panels panels(static_cast<WeightType>(type), kOutputs, kCols);
        panels.fill(StoredType::kF32, reinterpret_cast<const uint8_t*>(weights.data()), nullptr, pool);
        std::vector<float> out(kRows * kOutputs);
        Guarded<uint8_t> scratch(product_scratch_bytes(kRows, kCols));
        kernels.multiply[type]({panels.data(), panels.panel_stride(), panels.num_panels(), kCols, nullptr, out.data(),
                                kOutputs, false, scratch.data()},
                               prepared.inputs);
        results.insert(results.end(), out.begin(), out.end());
    }
    for (const KvType type : {KvType::kF32, KvType::kBF16, KvType::kInt8}) {
        const std::vector<float> queries = random_floats(40 * 3 * 64, 23);
        const std::vector<float> out = attend(kernels, Text(kernels, type, 64, 40), queries, 3, 0, 40, 0);
        results.insert(results.end(), out.begin(), out.end());
    }
    std::vector<float> gate = random_floats(kCols, 24, 20.0f);
    kernels.swiglu(gate.data(), weights.data(), kCols);
    kernels.rms_norm(gate.data(), weights.data() + kCols, kCols, kCols, 1e-5f, gate.data());
    results.insert(results.end(), gate.begin(), gate.end());
    return results;
}

void test_that_variants_of_a_tier_give_the_same_bits() {
    for (const Kernels* first : each_kernels()) {
        for (const Kernels* second : each_kernels()) {
            if (std::strcmp(first->name, second->name) == 0) {
                const std::vector<float> one = results_of(*first), other = results_of(*second);
                CHECK(std::memcmp(one.data(), other.data(), one.size() * sizeof(float)) == 0);
            }
        }
    }
}

// With AMX whole numbers are summed elsewhere, and scaled in the same order.
void test_that_tiles_give_quantized_weights_the_same_bits() {
    const auto kernels_named = [](const char* name) {
        const auto& all = each_kernels();
        const auto found = std::find_if(all.begin(), all.end(),
                                        [&](const Kernels* kernels) { return std::strcmp(kernels->name, name) == 0; });
        return found == all.end() ? nullptr : *found;
    };
    const Kernels* const with = kernels_named("amx");
    const Kernels* const without = kernels_named("avx512");
    if (with == nullptr) {
        return;
    }
    constexpr size_t kRows = 50, kCols = 160, kOutputs = 48;
    ThreadPool pool(1);
    const std::vector<float> weights = random_floats(kOutputs * kCols, 31, 0.1f);
    for (const WeightType type : {WeightType::kQ8, WeightType::kQ4, WeightType::kQ4Min}) {
        Panels panels(type, kOutputs, kCols);
        panels.fill(StoredType::kF32, reinterpret_cast<const uint8_t*>(weights.data()), nullptr, pool);
        const Prepared prepared(*with, random_floats(kRows * kCols, 32), kRows, kCols);
        std::vector<float> outs[2];
        for (const Kernels* kernels : {with, without}) {
            std::vector<float>& out = outs[kernels == with ? 0 : 1];
            out.resize(kRows * kOutputs);
            Guarded<uint8_t> scratch(product_scratch_bytes(kRows, kCols));
            kernels->multiply[static_cast<size_t>(type)]({panels.data(), panels.panel_stride(), panels.num_panels(),
                                                          kCols, nullptr, out.data(), kOutputs, false, scratch.data()},
                                                         prepared.inputs);
        }
        CHECK(std::memcmp(outs[0].data(), outs[1].data(), outs[0].size() * sizeof(float)) == 0);
    }
}

void test_choice() {
    for (const Tier& tier : tiers()) {
        CHECK(setenv("TEXTMILL_ISA", tier.name, 1) == 0);
        const Kernels& chosen = kernels_of_this_machine();
        CHECK(!tier.is_supported() || std::strcmp(chosen.name, tier.name) == 0);
    }
    CHECK(unsetenv("TEXTMILL_ISA") == 0);
    CHECK(&kernels_of_this_machine() == each_kernels().front());
}

void test_pool() {
    for (const unsigned num_threads : {1u, 2u, 5u}) {
        ThreadPool pool(num_threads);
        for (int run = 0; run < 200; ++run) {
            std::vector<int> first(num_threads), second(num_threads);
            pool.run([&](unsigned thread) {
                first[thread] = 1;
                pool.barrier();
                for (const int seen : first) {
                    second[thread] += seen;
                }
                pool.barrier();
            });
            for (const int seen : second) {
                CHECK(seen == static_cast<int>(num_threads));
            }
        }
    }
}

}  // namespace

int main() {
    test_half_floats();
    test_rounding_errors();
    test_what_is_not_finite();
    test_pool();
    test_choice();
    test_that_variants_of_a_tier_give_the_same_bits();
    test_that_tiles_give_quantized_weights_the_same_bits();
    for (const Kernels* kernels : each_kernels()) {
        test_rows(*kernels);
        test_rotation(*kernels);
        test_all_products(*kernels);
        test_extreme_numbers(*kernels);
        test_exact_sums(*kernels);
        test_numbers_are_within_127(*kernels);
        test_all_attention(*kernels);
    }
    std::puts("ok");
}
