#include "engine/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "engine/tiers.h"

namespace textmill::engine {
namespace {

bool runs_anywhere() {
    return true;
}

#if defined(__x86_64__)
bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16");
}

// Tiles are larger than what the system saves for a thread unless it was asked to: arch_prctl(ARCH_REQ_XCOMP_PERM,
// XFEATURE_XTILEDATA), which holds for all threads of the process (Linux, Documentation/arch/x86/xstate.rst). It is
// refused where a thread already has a stack for signals that is too small to hold them.
bool has_amx() {
#if defined(__linux__)
    unsigned eax, ebx, ecx, edx;
    constexpr unsigned kBf16 = 1u << 22, kTile = 1u << 24, kInt8 = 1u << 25;
    constexpr unsigned kAll = kBf16 | kTile | kInt8;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;
    return has_avx512() && __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kAll) == kAll &&
           syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
    return false;
#endif
}

// clang 16 has no names for F16C and AVX-VNNI: their bits are those of Intel's manual (volume 2A, CPUID).
bool has_f16c() {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx >> 29 & 1) != 0;
}

bool has_avx_vnni() {
    unsigned eax, ebx, ecx, edx;
    return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1) != 0;
}

bool has_avx2() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

bool has_avx2_vnni() {
    return has_avx2() && has_avx_vnni();
}

constexpr Tier kTiers[] = {
    {"amx", has_amx, amx_kernels},
    {"avx512", has_avx512, avx512_kernels},
    {"avx2", has_avx2_vnni, avx2_vnni_kernels},
    {"avx2", has_avx2, avx2_kernels},
    {"portable", runs_anywhere, portable_kernels},
};
#else
bool runs_nowhere() {
    return false;
}

// The names of other processors' tiers may be given here too, as the most that is to be used.
constexpr Tier kTiers[] = {
    {"amx", runs_nowhere, portable_kernels},
    {"avx512", runs_nowhere, portable_kernels},
    {"avx2", runs_nowhere, portable_kernels},
    {"portable", runs_anywhere, portable_kernels},
};
#endif

[[noreturn]] void refuse(std::string_view asked) {
    std::string names;
    for (const Tier& tier : kTiers) {
        if (names.find(tier.name) == std::string::npos) {
            names += (names.empty() ? "" : ", ") + std::string(tier.name);
        }
    }
    throw std::invalid_argument("TEXTMILL_ISA is \"" + std::string(asked) + "\", and may be one of: " + names);
}

}  // namespace

size_t product_scratch_bytes(size_t num_rows, size_t num_cols) {
    // A panel's numbers as bytes, and two numbers for each row and group.
    const size_t num_groups = round_up(num_cols, kGroupCols) / kGroupCols;
    return num_groups * (kGroupCols * kPanelRows + num_rows * 2 * sizeof(float));
}

size_t attention_scratch_bytes(size_t num_rows, size_t padded_dim) {
    // Scores and weights of a split, queries in three forms, and two numbers a row, each part on lines of its own.
    return num_rows * (2 * kSplitTokens * sizeof(float) + padded_dim * (2 * sizeof(float) + 1) + 2 * sizeof(float)) +
           8 * 64;
}

std::span<const Tier> tiers() {
    return kTiers;
}

const Kernels& kernels_of_this_machine() {
    const char* const most = std::getenv("TEXTMILL_ISA");
    bool may_be_used = most == nullptr || *most == '\0';
    for (const Tier& tier : kTiers) {
        may_be_used = may_be_used || std::string_view(tier.name) == most;
        if (may_be_used && tier.is_supported()) {
            return tier.kernels();
        }
    }
    refuse(most);
}

}  // namespace textmill::engine
