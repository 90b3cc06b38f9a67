// The tier of AVX2 with FMA: compiled with flags of its own, and run where the processor has them.
#include "engine/lanes_avx2.h"
//
#include "training/kernels_impl.h"

namespace textmill::training {

const Kernels& avx2_kernels() {
    static constexpr Kernels kKernels = make_kernels("avx2");
    return kKernels;
}

}  // namespace textmill::training
