// How fast this machine reads memory, which bounds how fast a model can make tokens one at a time.
#pragma once

#include <cstddef>

#include "engine/thread_pool.h"

namespace textmill::engine {

// Bytes a second that all threads together read from an array of `num_bytes`: the best of a few passes.
double read_bandwidth(ThreadPool& pool, size_t num_bytes);

}  // namespace textmill::engine
