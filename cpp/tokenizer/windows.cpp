#include "tokenizer/windows.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace textmill::tokenizer {

FindEnds find_ends_tier() {
    const char* const asked = std::getenv("TEXTMILL_ISA");
    const std::string_view most = asked == nullptr ? "avx512" : asked;
    if (most != "avx512" && most != "avx2" && most != "portable") {
        throw std::invalid_argument("TEXTMILL_ISA is \"" + std::string(most) +
                                    "\", and may be avx512, avx2 or portable");
    }
#if defined(__x86_64__)
    if (most == "avx512" && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vbmi2") &&
        __builtin_cpu_supports("bmi2")) {
        return find_ends_avx512;
    }
    if (most != "portable" && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        return find_ends_avx2;
    }
#endif
    return find_ends_portable;
}

}  // namespace textmill::tokenizer
