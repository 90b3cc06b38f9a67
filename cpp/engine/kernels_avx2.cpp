// The tier of AVX2 with FMA and F16C: compiled with flags of its own, and run where the processor has them.
#include "engine/lanes_avx2.h"
//
#include "engine/kernels_impl.h"
#include "engine/tiers.h"

namespace textmill::engine {

const Kernels& avx2_kernels() {
    static constexpr Kernels kKernels = make_kernels("avx2");
    return kKernels;
}

}  // namespace textmill::engine
