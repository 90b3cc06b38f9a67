// Work on each of many texts, shared between threads in stretches of texts.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/parallel.h"

namespace textmill::text {

// Calls run(first, last) for stretches of texts, `last` behind the last one, that are about a megabyte each.
inline void run_text_tasks(std::span<const std::string_view> texts, unsigned num_threads,
                           const std::function<void(size_t, size_t)>& run) {
    constexpr size_t kTaskBytes = 1 << 20;
    constexpr size_t kTextBytes = 64;  // what an empty text counts
    std::vector<size_t> ends{0};
    size_t num_bytes = 0;
    for (size_t i = 0; i < texts.size(); ++i) {
        num_bytes += kTextBytes + texts[i].size();
        if (num_bytes >= kTaskBytes || i + 1 == texts.size()) {
            ends.push_back(i + 1);
            num_bytes = 0;
        }
    }
    const size_t num_tasks = ends.size() - 1;
    tokenizer::run_tasks(num_tasks, tokenizer::threads_for(num_threads, num_tasks),
                         [&](size_t task, unsigned) { run(ends[task], ends[task + 1]); });
}

}  // namespace textmill::text
