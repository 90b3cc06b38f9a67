// Threads that stay: they spin for a moment after their work, then sleep, so that an idle model uses no processor.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace textmill::engine {

// Where all threads of a pool meet. The last to come lets the others go on.
class Barrier {
  public:
    explicit Barrier(unsigned num_threads) : num_threads_(num_threads) {}

    void arrive_and_wait();

  private:
    const unsigned num_threads_;
    alignas(64) std::atomic<unsigned> num_arrived_{0};
    alignas(64) std::atomic<uint32_t> generation_{0};
};

// The same work on every thread, which share it among themselves by their numbers and meet at `barrier()`.
class ThreadPool {
  public:
    // Throws std::system_error where the system starts no more threads.
    explicit ThreadPool(unsigned num_threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    unsigned num_threads() const { return num_threads_; }

    // Calls work(0) here and work(1) and on elsewhere; returns when all are done. The work must not throw. One caller
    // at a time. In a forked child the threads are started again, if no other thread was in here as it was forked.
    void run(const std::function<void(unsigned)>& work);

    // For the work: waits until every thread has come here.
    void barrier() { crew_->barrier.arrive_and_wait(); }

  private:
    // What the threads share. Those of a forked parent do not exist in the child, whose copy of their crew is left as
    // it is.
    struct Crew {
        explicit Crew(unsigned num_threads) : barrier(num_threads) {}
        Barrier barrier;
        alignas(64) std::atomic<uint32_t> num_runs{0};
        alignas(64) std::atomic<unsigned> num_working{0};
        std::atomic<bool> is_ending{false};
        const std::function<void(unsigned)>* work = nullptr;
        std::vector<std::thread> threads;
    };

    static void serve(Crew& crew, unsigned thread);
    void start();
    static void end(Crew& crew);

    const unsigned num_threads_;
    int process_ = 0;
    std::unique_ptr<Crew> crew_;
};

// Numbers too small for a normal float count as zero while this lives, on x86, where they cost a hundred cycles each.
class FlushDenormals {
  public:
    FlushDenormals();
    ~FlushDenormals();
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

  private:
    [[maybe_unused]] unsigned saved_ = 0;
};

}  // namespace textmill::engine
