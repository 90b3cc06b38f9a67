// The kernels, written once over the lanes of a tier: included by one file a tier, after its lanes.
#include "training/kernels.h"
#include "training/loss_kernels.h"
#include "training/norm_kernels.h"
#include "training/sum_kernels.h"
#include "training/swiglu_kernels.h"

namespace textmill::training {
namespace {

template <typename T>
constexpr TypeKernels make_type_kernels() {
    return {
        .norm = norm<T>,
        .norm_backward = norm_backward<T>,
        .heads = heads<T>,
        .heads_backward = heads_backward<T>,
        .swiglu = swiglu<T>,
        .swiglu_backward = swiglu_backward<T>,
        .cross_entropy = cross_entropy<T>,
    };
}

constexpr Kernels make_kernels(const char* name) {
    return {
        .name = name,
        .f32 = make_type_kernels<float>(),
        .bf16 = make_type_kernels<uint16_t>(),
        .add = add_bf16,
    };
}

}  // namespace
}  // namespace textmill::training
