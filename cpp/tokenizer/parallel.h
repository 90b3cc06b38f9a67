// Sharing work on many texts between threads so that the result cannot tell how many there were.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/scanner.h"

namespace textmill::tokenizer {

// A part of a text that can be split into pieces by itself.
struct TextPart {
    size_t text;  // index of the text
    std::string_view bytes;
};

// Consecutive parts: one unit of work.
using Task = std::vector<TextPart>;

// Cuts texts into tasks of at least `task_bytes` (but for the last), long texts at safe cuts. Every text has a part.
std::vector<Task> cut_into_tasks(const Splitter& splitter, std::span<const std::string_view> texts, size_t task_bytes);

// The threads to use for a number of tasks: what is asked for, zero being one for each core.
unsigned threads_for(unsigned num_threads, size_t num_tasks);

// Calls run(task, thread) once for each task, threads taking the next one as they get free. One thread runs in the
// caller. The first exception stops the others and is thrown here. No thread outlives the call.
void run_tasks(size_t num_tasks, unsigned num_threads, const std::function<void(size_t, unsigned)>& run);

}  // namespace textmill::tokenizer
