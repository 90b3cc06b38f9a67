// The tier of AVX2 again, compiled for processors that have AVX-VNNI too: the same bits, sooner.
#include "engine/lanes_avx2.h"
//
#include "engine/kernels_impl.h"
#include "engine/tiers.h"

namespace textmill::engine {

const Kernels& avx2_vnni_kernels() {
    static constexpr Kernels kKernels = make_kernels("avx2");
    return kKernels;
}

}  // namespace textmill::engine
