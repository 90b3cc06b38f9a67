// Causal attention of training, forward and backward, on batches of packed documents: softmax(q k^T * scale) v
// (arXiv:1706.03762 section 3.2.1), where groups of query heads share a key-value head (arXiv:2305.13245).
//
// Scores of a block of queries are made, used and dropped; backward makes them again from the log-sums that forward
// left (arXiv:2205.14135). A row of the batch and a key-value head are one unit of work: nothing is summed across
// units, so that results do not depend on how many threads share them.
//
// Sums are in f32; where a tier multiplies pairs of bf16, weights and gradients of scores are rounded to bf16 for
// that. What is not finite in a key or value comes out of every query that sees it, and may come out of those up to 15
// tokens before it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "training/kernels.h"

namespace textmill::training {

// A tensor [rows, tokens, heads, head size] of which the last dimension lies together; strides count elements.
struct HeadsTensor {
    void* data;
    ptrdiff_t row_stride;
    ptrdiff_t token_stride;
    ptrdiff_t head_stride;
};

// What tokens attend to: token t of a row to the tokens from starts[t] to t of the same row. starts[t] is at most t,
// and never falls from one token to the next.
struct AttentionShape {
    size_t num_rows;
    size_t num_tokens;
    size_t num_heads;
    size_t num_kv_heads;  // divides num_heads
    size_t head_dim;
    float scale;            // of scores
    const int32_t* starts;  // [rows][tokens], or null: all begin at 0
};

struct AttentionForward {
    AttentionShape shape;
    HeadsTensor q, k, v;
    HeadsTensor o;  // written
    float* lse;     // written: [rows][tokens][heads], logarithms of sums of exponentials of scores
};

struct AttentionBackward {
    AttentionShape shape;
    HeadsTensor q, k, v, o;
    const float* lse;
    HeadsTensor d_o;
    HeadsTensor d_q, d_k, d_v;  // written
};

// A tier of instructions. Scratch memory is aligned to 64 bytes; of two calls that run at once each has its own.
struct AttentionKernels {
    const char* name;
    size_t (*forward_scratch)(const AttentionShape&, Type);   // bytes
    size_t (*backward_scratch)(const AttentionShape&, Type);  // bytes
    void (*forward)(const AttentionForward&, Type, size_t unit, uint8_t* scratch);
    void (*backward)(const AttentionBackward&, Type, size_t unit, uint8_t* scratch);
};

const AttentionKernels& portable_attention();
#if defined(__x86_64__)
const AttentionKernels& avx2_attention();
const AttentionKernels& avx512_attention();
#endif

// All units, on threads, by the tier that the engine has on this machine (engine/kernels.h).
void attention_forward(const AttentionForward& task, Type type, size_t num_threads);
void attention_backward(const AttentionBackward& task, Type type, size_t num_threads);

}  // namespace textmill::training
