// Attention of training on AVX2 with FMA.
#include "engine/lanes_avx2.h"
//
#include "training/attention_impl.h"

namespace textmill::training {

const AttentionKernels& avx2_attention() {
    static constexpr AttentionKernels kKernels = make_attention("avx2");
    return kKernels;
}

}  // namespace textmill::training
