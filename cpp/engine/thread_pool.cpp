#include "engine/thread_pool.h"

#include <unistd.h>

#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace textmill::engine {
namespace {

// About 50 us on a core of 3.4 GHz, where a pause takes 40 cycles: longer than threads are apart within a forward pass.
constexpr unsigned kSpins = 4000;
constexpr unsigned kSpinsToYield = 128;

void pause_briefly() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Waits until `value` is no longer `old`.
void wait_for_change(const std::atomic<uint32_t>& value, uint32_t old) {
    for (unsigned spin = 0; spin < kSpins; ++spin) {
        if (value.load(std::memory_order_acquire) != old) {
            return;
        }
        // Where there are more threads than cores, the one that is waited for may need this core.
        if (spin % kSpinsToYield == kSpinsToYield - 1) {
            std::this_thread::yield();
        } else {
            pause_briefly();
        }
    }
    while (value.load(std::memory_order_acquire) == old) {
        value.wait(old, std::memory_order_acquire);
    }
}

}  // namespace

void Barrier::arrive_and_wait() {
    const uint32_t generation = generation_.load(std::memory_order_acquire);
    if (num_arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == num_threads_) {
        num_arrived_.store(0, std::memory_order_relaxed);
        generation_.store(generation + 1, std::memory_order_release);
        generation_.notify_all();
        return;
    }
    wait_for_change(generation_, generation);
}

ThreadPool::ThreadPool(unsigned num_threads) : num_threads_(num_threads) {
    start();
}

ThreadPool::~ThreadPool() {
    if (process_ != getpid()) {
        (void)crew_.release();  // a forked child has no threads to end, and a copy of what they held
        return;
    }
    end(*crew_);
}

void ThreadPool::end(Crew& crew) {
    crew.is_ending.store(true, std::memory_order_release);
    crew.num_runs.fetch_add(1, std::memory_order_acq_rel);
    crew.num_runs.notify_all();
    for (std::thread& thread : crew.threads) {
        thread.join();
    }
}

void ThreadPool::start() {
    auto crew = std::make_unique<Crew>(num_threads_);
    crew->threads.reserve(num_threads_ - 1);
    try {
        for (unsigned thread = 1; thread < num_threads_; ++thread) {
            crew->threads.emplace_back([&shared = *crew, thread] { serve(shared, thread); });
        }
    } catch (...) {
        end(*crew);
        throw;
    }
    crew_ = std::move(crew);
    process_ = getpid();
}

void ThreadPool::serve(Crew& crew, unsigned thread) {
    const FlushDenormals flush;
    uint32_t num_seen = 0;
    for (;;) {
        wait_for_change(crew.num_runs, num_seen);
        ++num_seen;
        if (crew.is_ending.load(std::memory_order_acquire)) {
            return;
        }
        (*crew.work)(thread);
        crew.num_working.fetch_sub(1, std::memory_order_acq_rel);
    }
}

void ThreadPool::run(const std::function<void(unsigned)>& work) {
    if (process_ != getpid()) {
        (void)crew_.release();  // the parent's, whose threads are not here
        start();
    }
    const FlushDenormals flush;
    crew_->work = &work;
    crew_->num_working.store(num_threads_ - 1, std::memory_order_relaxed);
    crew_->num_runs.fetch_add(1, std::memory_order_acq_rel);
    crew_->num_runs.notify_all();
    work(0);
    for (unsigned spin = 0; crew_->num_working.load(std::memory_order_acquire) != 0; ++spin) {
        if (spin < kSpins) {
            pause_briefly();
        } else {
            std::this_thread::yield();
        }
    }
}

FlushDenormals::FlushDenormals() {
#if defined(__x86_64__)
    saved_ = _mm_getcsr();
    _mm_setcsr(saved_ | 0x8040);  // flush to zero, and denormals are zero
#endif
}

FlushDenormals::~FlushDenormals() {
#if defined(__x86_64__)
    _mm_setcsr(saved_);
#endif
}

}  // namespace textmill::engine
