// The tier that runs anywhere.
#include "engine/lanes_portable.h"
//
#include "training/kernels_impl.h"

namespace textmill::training {

const Kernels& portable_kernels() {
    static constexpr Kernels kKernels = make_kernels("portable");
    return kKernels;
}

}  // namespace textmill::training
