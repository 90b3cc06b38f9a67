#include "engine/kernels.h"

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

namespace textmill::engine {

size_t attention_scratch_bytes(size_t num_rows, size_t padded_dim) {
    // Scores and weights of a split, queries in three forms, and two numbers a row, each part on lines of its own.
    return num_rows * (2 * kSplitTokens * sizeof(float) + padded_dim * (2 * sizeof(float) + 1) + 2 * sizeof(float)) +
           8 * 64;
}

const Kernels& kernels_of_this_machine() {
    const char* const asked = std::getenv("TEXTMILL_ISA");
    const std::string_view most = asked == nullptr ? "avx512" : asked;
    if (most != "avx512" && most != "avx2" && most != "portable") {
        throw std::invalid_argument("TEXTMILL_ISA is \"" + std::string(most) +
                                    "\", and may be avx512, avx2 or portable");
    }
#if defined(__x86_64__)
    if (most == "avx512" && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16")) {
        return avx512_kernels();
    }
#endif
    return portable_kernels();
}

}  // namespace textmill::engine
