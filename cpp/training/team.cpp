#include "training/team.h"

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#endif

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace textmill::training {
namespace {

// What GCC's `#pragma omp parallel` calls (libgomp's ABI, GOMP_4.0; LLVM's OpenMP has it, too).
using Parallel = void (*)(void (*function)(void*), void* data, unsigned num_threads, unsigned flags);

Parallel find_parallel() {
#if defined(__unix__) || defined(__APPLE__)
    // torch makes the names of its libraries global as it is imported.
    return reinterpret_cast<Parallel>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
#else
    return nullptr;
#endif
}

struct Job {
    const size_t num_pieces;
    const PieceCall call;
    const void* const work;
    alignas(64) std::atomic<size_t> next_piece{0};
    alignas(64) std::atomic<size_t> num_workers{0};
};

void take_pieces(void* data) {
    Job& job = *static_cast<Job*>(data);
    const size_t worker = job.num_workers.fetch_add(1, std::memory_order_relaxed);
    for (;;) {
        const size_t piece = job.next_piece.fetch_add(1, std::memory_order_relaxed);
        if (piece >= job.num_pieces) {
            return;
        }
        job.call(job.work, piece, worker);
    }
}

}  // namespace

void run_pieces(size_t num_threads, size_t num_pieces, PieceCall call, const void* work) {
    Job job{num_pieces, call, work, {}, {}};
    const auto team = static_cast<unsigned>(std::min(num_threads, num_pieces));
    if (team <= 1) {
        return take_pieces(&job);
    }
    static const Parallel parallel = find_parallel();
    if (parallel != nullptr) {
        return parallel(take_pieces, &job, team, 0);
    }
    std::vector<std::jthread> others;
    for (unsigned i = 1; i < team; ++i) {
        others.emplace_back(take_pieces, &job);
    }
    take_pieces(&job);
}

}  // namespace textmill::training
