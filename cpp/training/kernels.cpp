#include "training/kernels.h"

#include <string_view>

#include "engine/kernels.h"

namespace textmill::training {
namespace {

const Kernels& kernels_of([[maybe_unused]] std::string_view tier) {
#if defined(__x86_64__)
    if (tier == "avx512" || tier == "amx") {
        return avx512_kernels();
    }
    if (tier == "avx2") {
        return avx2_kernels();
    }
#endif
    return portable_kernels();
}

}  // namespace

const Kernels& kernels_of_this_machine() {
    static const Kernels& kernels = kernels_of(engine::kernels_of_this_machine().name);
    return kernels;
}

}  // namespace textmill::training
