// Attention of training that runs anywhere.
#include "engine/lanes_portable.h"
//
#include "training/attention_impl.h"

namespace textmill::training {

const AttentionKernels& portable_attention() {
    static constexpr AttentionKernels kKernels = make_attention("portable");
    return kKernels;
}

}  // namespace textmill::training
