#include "tokenizer/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace textmill::tokenizer {

std::vector<Task> cut_into_tasks(const Splitter& splitter, std::span<const std::string_view> texts, size_t task_bytes) {
    std::vector<Task> tasks;
    Task task;
    size_t num_bytes = 0;
    const auto add = [&](const TextPart& part) {
        task.push_back(part);
        num_bytes += part.bytes.size();
        if (num_bytes >= task_bytes) {
            tasks.push_back(std::exchange(task, {}));
            num_bytes = 0;
        }
    };
    for (size_t text = 0; text < texts.size(); ++text) {
        std::string_view rest = texts[text];
        do {
            const size_t cut =
                rest.size() > task_bytes ? next_safe_cut(splitter.safe_cuts(), rest, task_bytes) : rest.size();
            add({text, rest.substr(0, cut)});
            rest.remove_prefix(cut);
        } while (!rest.empty());
    }
    if (!task.empty()) {
        tasks.push_back(std::move(task));
    }
    return tasks;
}

unsigned threads_for(unsigned num_threads, size_t num_tasks) {
    const unsigned wanted = num_threads > 0 ? num_threads : std::max(1u, std::thread::hardware_concurrency());
    return static_cast<unsigned>(std::min<size_t>(wanted, std::max<size_t>(1, num_tasks)));
}

void run_tasks(size_t num_tasks, unsigned num_threads, const std::function<void(size_t, unsigned)>& run) {
    std::atomic<size_t> next_task{0};
    std::exception_ptr error;
    std::mutex error_mutex;
    const auto work = [&](unsigned thread) {
        try {
            for (size_t task = next_task++; task < num_tasks; task = next_task++) {
                run(task, thread);
            }
        } catch (...) {
            const std::lock_guard lock(error_mutex);
            if (!error) {
                error = std::current_exception();
            }
            next_task = num_tasks;
        }
    };
    {
        std::vector<std::jthread> threads;
        for (unsigned thread = 1; thread < num_threads; ++thread) {
            threads.emplace_back(work, thread);
        }
        work(0);
    }
    if (error) {
        std::rethrow_exception(error);
    }
}

}  // namespace textmill::tokenizer
