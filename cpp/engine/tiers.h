// The tiers of instructions that kernels are compiled for.
#pragma once

#include <span>

#include "engine/kernels.h"

namespace textmill::engine {

struct Tier {
    const char* name;  // as TEXTMILL_ISA names it; two that give the same bits share one
    bool (*is_supported)();
    const Kernels& (*kernels)();
};

// The best first; the last runs anywhere.
std::span<const Tier> tiers();

#if defined(__x86_64__)
const Kernels& amx_kernels();
const Kernels& avx2_kernels();
const Kernels& avx2_vnni_kernels();
#endif

}  // namespace textmill::engine
