// Attention of training, compiled once for each tier of instructions: a file of a tier includes its lanes, says with
// TEXTMILL_PAIRS whether they multiply pairs of bf16 (dot_pairs, store_pairs, interleave), and includes this.
#pragma once

#include "engine/exponential.h"
#include "training/attention.h"
#include "training/attention_backward.h"
#include "training/attention_forward.h"

namespace textmill::training {
namespace {

#if defined(TEXTMILL_PAIRS)
using BF16Word = uint32_t;
#else
using BF16Word = float;
#endif

size_t forward_scratch(const AttentionShape& shape, Type type) {
    return type == Type::kF32 ? ForwardScratch<float>(shape, nullptr).num_bytes
                              : ForwardScratch<BF16Word>(shape, nullptr).num_bytes;
}

size_t backward_scratch(const AttentionShape& shape, Type type) {
    return type == Type::kF32 ? BackwardScratch<float>(shape, nullptr).num_bytes
                              : BackwardScratch<BF16Word>(shape, nullptr).num_bytes;
}

void forward(const AttentionForward& task, Type type, size_t unit, uint8_t* scratch) {
    type == Type::kF32 ? forward_unit<float, float>(task, unit, scratch)
                       : forward_unit<BF16, BF16Word>(task, unit, scratch);
}

void backward(const AttentionBackward& task, Type type, size_t unit, uint8_t* scratch) {
    type == Type::kF32 ? backward_unit<float, float>(task, unit, scratch)
                       : backward_unit<BF16, BF16Word>(task, unit, scratch);
}

constexpr AttentionKernels make_attention(const char* name) {
    return {name, forward_scratch, backward_scratch, forward, backward};
}

}  // namespace
}  // namespace textmill::training
