#include "engine/bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "engine/huge_array.h"

namespace textmill::engine {
namespace {

constexpr int kPasses = 4;
constexpr size_t kSums = 32;

// Sums that do not wait for each other, so that reading is all that takes time.
uint64_t sum_of(const uint64_t* words, size_t count) {
    uint64_t sums[kSums] = {};
    for (size_t i = 0; i + kSums <= count; i += kSums) {
        for (size_t j = 0; j < kSums; ++j) {
            sums[j] += words[i + j];
        }
    }
    uint64_t total = 0;
    for (const uint64_t sum : sums) {
        total += sum;
    }
    return total;
}

}  // namespace

double read_bandwidth(ThreadPool& pool, size_t num_bytes) {
    HugeArray<uint64_t> words(num_bytes / sizeof(uint64_t));
    std::atomic<uint64_t> total{0};  // what is read must be used
    const auto each_share = [&](auto&& work) {
        pool.run([&](unsigned thread) {
            const size_t begin = words.size() * thread / pool.num_threads();
            const size_t end = words.size() * (thread + 1) / pool.num_threads();
            work(words.data() + begin, end - begin);
        });
    };
    each_share([](uint64_t* share, size_t count) { std::memset(share, 1, count * sizeof(uint64_t)); });
    double best = 0.0;
    for (int pass = 0; pass < kPasses; ++pass) {
        const auto begin = std::chrono::steady_clock::now();
        each_share([&](const uint64_t* share, size_t count) { total += sum_of(share, count); });
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
        best = std::max(best, static_cast<double>(num_bytes) / seconds.count());
    }
    return total.load() == 0 ? 0.0 : best;
}

}  // namespace textmill::engine
