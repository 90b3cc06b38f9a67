// The kernels of a training step on threads: each piece once, the same bits on any number of them, in every tier that
// runs here; a few values beside double precision. What they compute is compared with torch by tests/model.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <vector>

#include "engine/half.h"
#include "training/kernels.h"
#include "training/rows.h"
#include "training/team.h"

namespace {

using namespace textmill::training;
using textmill::engine::bf16_to_float;
using textmill::engine::float_to_bf16;

void check(bool holds, const char* what, int line) {
    if (!holds) {
        std::fprintf(stderr, "test_training_kernels.cpp:%d: %s\n", line, what);
        std::_Exit(1);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

void test_each_piece_runs_once_and_workers_are_alone() {
    for (size_t num_threads = 0; num_threads <= 4; ++num_threads) {
        for (const size_t num_pieces : {0, 1, 2, 3, 1000}) {
            std::vector<std::atomic<int>> runs(num_pieces);
            std::vector<std::atomic<int>> inside(num_threads + 1);
            each_piece(num_threads, num_pieces, [&](size_t piece, size_t worker) {
                CHECK(worker < std::max<size_t>(1, num_threads));
                CHECK(inside[worker].fetch_add(1) == 0);
                runs[piece].fetch_add(1);
                inside[worker].fetch_sub(1);
            });
            for (const auto& run : runs) {
                CHECK(run.load() == 1);
            }
        }
    }
}

std::vector<float> numbers(size_t num, unsigned seed) {
    std::vector<float> out(num);
    for (float& x : out) {
        seed = seed * 1664525u + 1013904223u;
        x = static_cast<float>(seed >> 8) * 0x1p-22f - 2.0f;
    }
    return out;
}

void test_threads_change_no_bit() {
    constexpr size_t kRows = 301, kWidth = 77;
    const auto x = numbers(kRows * kWidth, 1), gradient = numbers(kRows * kWidth, 2), weight = numbers(kWidth, 3);
    std::vector<float> first;
    for (size_t num_threads = 1; num_threads <= 4; ++num_threads) {
        std::vector<float> out(2 * kRows * kWidth + kRows + kWidth);
        float* const d_x = out.data() + kRows * kWidth;
        float* const inverse = d_x + kRows * kWidth;
        norm({x.data(), nullptr, nullptr, weight.data(), 1e-5f, out.data(), inverse, kRows, kWidth}, Type::kF32,
             num_threads);
        norm_backward({gradient.data(), x.data(), inverse, weight.data(), nullptr, d_x, kRows, kWidth}, inverse + kRows,
                      Type::kF32, num_threads);
        if (num_threads == 1) {
            first = out;
        }
        CHECK(std::memcmp(out.data(), first.data(), out.size() * sizeof(float)) == 0);
    }
    const std::vector<int64_t> targets(kRows, 5);
    double nats = 0.0;
    for (size_t num_threads = 1; num_threads <= 4; ++num_threads) {
        auto logits = x;
        const double sum = cross_entropy({logits.data(), targets.data(), true, kRows, kWidth}, Type::kF32, num_threads);
        nats = num_threads == 1 ? sum : nats;
        CHECK(sum == nats);
    }
}

const std::vector<const Kernels*>& tiers() {
    static const std::vector<const Kernels*> all = [] {
        std::vector<const Kernels*> found{&portable_kernels()};
        const Kernels& best = kernels_of_this_machine();
        if (&best != found[0]) {
            found.push_back(&best);
        }
#if defined(__x86_64__)
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && &best != &avx2_kernels()) {
            found.push_back(&avx2_kernels());
        }
#endif
        return found;
    }();
    return all;
}

void test_sums_of_bf16() {
    for (const Kernels* kernels : tiers()) {
        std::vector<uint16_t> all(1u << 16);
        std::iota(all.begin(), all.end(), uint16_t{0});
        std::vector<float> sum(all.size(), 1.0f);
        kernels->add(all.data(), sum.data(), sum.size());
        for (size_t i = 0; i < all.size(); ++i) {
            const float expected = 1.0f + bf16_to_float(all[i]);
            CHECK(sum[i] == expected || (std::isnan(sum[i]) && std::isnan(expected)));
        }
    }
}

void test_every_sum_is_rounded_as_one_is() {
    constexpr size_t kNum = 1u << 16;
    std::vector<uint16_t> x(kNum), sum(kNum), out(kNum);
    std::iota(x.begin(), x.end(), uint16_t{0});
    const std::vector<float> weight(kNum, 1.0f);
    for (const Kernels* kernels : tiers()) {
        for (const float other : {0.0f, 1.0f, -0x1.02p-3f, 0x1.fep-127f}) {
            const std::vector<uint16_t> added(kNum, float_to_bf16(other));
            float inverse;
            kernels->bf16.norm({x.data(), added.data(), sum.data(), weight.data(), 1.0f, out.data(), &inverse, 1, kNum},
                               0, 1);
            for (size_t i = 0; i < kNum; ++i) {
                CHECK(sum[i] == float_to_bf16(bf16_to_float(x[i]) + bf16_to_float(added[i])));
            }
        }
    }
}

void test_swiglu_in_double_precision() {
    constexpr size_t kWidth = 1003;
    const auto gate = numbers(kWidth, 4), up = numbers(kWidth, 5), gradient = numbers(kWidth, 6);
    for (const Kernels* kernels : tiers()) {
        std::vector<float> out(4 * kWidth);
        float* const parts[4] = {out.data(), out.data() + kWidth, out.data() + 2 * kWidth, out.data() + 3 * kWidth};
        kernels->f32.swiglu({gate.data(), kWidth, up.data(), kWidth, parts[0], 1, kWidth}, 0, 1);
        kernels->f32.swiglu_backward(
            {gradient.data(), gate.data(), kWidth, up.data(), kWidth, parts[1], parts[2], kWidth, parts[3], 1, kWidth},
            0, 1);
        CHECK(std::memcmp(parts[0], parts[3], kWidth * sizeof(float)) == 0);
        for (size_t i = 0; i < kWidth; ++i) {
            const double x = gate[i], y = up[i], g = gradient[i], s = 1.0 / (1.0 + std::exp(-x));
            CHECK(std::fabs(parts[0][i] - x * s * y) < 2e-6);
            CHECK(std::fabs(parts[1][i] - g * y * s * (1.0 + x * (1.0 - s))) < 4e-6);
            CHECK(std::fabs(parts[2][i] - g * x * s) < 2e-6);
        }
    }
}

}  // namespace

int main() {
    test_each_piece_runs_once_and_workers_are_alone();
    test_threads_change_no_bit();
    test_sums_of_bf16();
    test_every_sum_is_rounded_as_one_is();
    test_swiglu_in_double_precision();
    std::puts("training kernels: all tests passed");
    return 0;
}
