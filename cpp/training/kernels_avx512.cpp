// The tier of AVX-512 with BF16: compiled with flags of its own, and run where the processor has them.
#include "engine/lanes_avx512.h"
//
#include "training/kernels_impl.h"

namespace textmill::training {

const Kernels& avx512_kernels() {
    static constexpr Kernels kKernels = make_kernels("avx512");
    return kKernels;
}

}  // namespace textmill::training
