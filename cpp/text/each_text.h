// The same work on each of many texts, on threads.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/parallel.h"

namespace textmill::text {

// Calls run(worker, i) once for each text, a worker being made for each thread: what is kept from text to text to save
// memory calls. run must write to places of text i only.
template <typename Worker, typename Run>
void each_text(std::span<const std::string_view> texts, unsigned num_threads, Run&& run) {
    constexpr size_t kTaskBytes = size_t{1} << 20;
    std::vector<size_t> begins{0};
    size_t num_bytes = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
        num_bytes += texts[i].size() + 64;  // an empty text is work too
        if (num_bytes >= kTaskBytes || i + 1 == texts.size()) {
            begins.push_back(i + 1);
            num_bytes = 0;
        }
    }
    const size_t num_tasks = begins.size() - 1;
    std::vector<Worker> workers(tokenizer::threads_for(num_threads, num_tasks));
    tokenizer::run_tasks(num_tasks, static_cast<unsigned>(workers.size()), [&](size_t task, unsigned thread) {
        for (size_t i = begins[task]; i < begins[task + 1]; ++i) {
            run(workers[thread], i);
        }
    });
}

}  // namespace textmill::text
