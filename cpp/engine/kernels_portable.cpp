// The tier that runs anywhere.
#include "engine/lanes_portable.h"
//
#include "engine/kernels_impl.h"

namespace textmill::engine {

const Kernels& portable_kernels() {
    static constexpr Kernels kKernels = make_kernels("portable");
    return kKernels;
}

}  // namespace textmill::engine
