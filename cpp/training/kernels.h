// What a step of training does to its activations besides products and attention, compiled for each tier of
// instructions; which one runs is decided at run time.
//
// Values are f32 or bf16 (`Type`); arithmetic is in f32, and a result is rounded once, to the nearest, of two equally
// near the even one. What a kernel writes for a row depends on that row alone, sums of a row having one order; sums
// over rows are of the rows from `begin` to `end`.
#pragma once

#include <cstddef>
#include <cstdint>

namespace textmill::training {

enum class Type { kF32, kBF16 };

// x / sqrt(mean(x^2) + eps) * weight (arXiv:1910.07467)
struct Norm {
    const void* x;        // [num_rows][width]
    const void* added;    // null, or rows that are added to x first
    void* sum;            // x + added, rounded, where they are
    const float* weight;  // [width]
    float eps;
    void* out;       // [num_rows][width]
    float* inverse;  // [num_rows]: 1 / sqrt(mean(x^2) + eps)
    size_t num_rows;
    size_t width;
};

// With u = x * inverse: d weight is the sum of gradient * u over rows, and d x = inverse * (gradient * weight - u *
// mean(gradient * weight * u)).
struct NormBackward {
    const void* gradient;  // [num_rows][width]
    const void* x;         // [num_rows][width]
    const float* inverse;  // [num_rows]
    const float* weight;   // [width]
    const void* added;     // null, or rows that are added to x's gradient
    void* x_gradient;      // [num_rows][width]; may be `gradient`
    size_t num_rows;
    size_t width;
};

// Norms of heads, where there is a weight, and then the turn of each pair (i, i + dim / 2) by an angle, where there are
// angles (arXiv:2104.09864); one of them is there. Tokens are `stride` values apart, their heads side by side.
struct Heads {
    const void* x;
    size_t x_stride;
    void* out;  // may be `x`
    size_t out_stride;
    size_t num_tokens;
    size_t num_heads;
    size_t dim;
    const float* weight;  // null, or [dim]
    float eps;
    float* inverse;        // [num_tokens][num_heads], where there is a weight
    const float* cosines;  // null, or [num_angles][dim], of which the first half is read
    const float* sines;    // the same, of which the second half is read
    size_t num_angles;     // a divisor of num_tokens: token i has angle i % num_angles
};

struct HeadsBackward {
    const void* gradient;
    size_t gradient_stride;
    const void* x;  // where there is a weight
    size_t x_stride;
    void* x_gradient;  // may be `gradient`
    size_t x_gradient_stride;
    size_t num_tokens;
    size_t num_heads;
    size_t dim;
    const float* weight;
    const float* inverse;
    const float* cosines;
    const float* sines;
    size_t num_angles;
};

// silu(gate) * up (arXiv:2002.05202). Rows are `stride` values apart.
struct Swiglu {
    const void* gate;
    size_t gate_stride;
    const void* up;
    size_t up_stride;
    void* out;  // [num_rows][width]
    size_t num_rows;
    size_t width;
};

struct SwigluBackward {
    const void* gradient;  // [num_rows][width]
    const void* gate;
    size_t gate_stride;
    const void* up;
    size_t up_stride;
    void* gate_gradient;
    void* up_gradient;
    size_t gradient_stride;  // of the two
    void* gated;             // null, or silu(gate) * up again, [num_rows][width]; may be `gradient`
    size_t num_rows;
    size_t width;
};

inline constexpr int64_t kNoTarget = -100;

// -log softmax(logits)[target], and its gradient in the place of the logits. Rows without a target count for nothing.
struct CrossEntropy {
    void* logits;            // [num_rows][vocab_size]
    const int64_t* targets;  // [num_rows]: below vocab_size, or kNoTarget
    bool makes_gradient;
    size_t num_rows;
    size_t vocab_size;
};

// Kernels of one type of values.
struct TypeKernels {
    void (*norm)(const Norm&, size_t begin, size_t end);
    // Adds d weight, [width], to what is there.
    void (*norm_backward)(const NormBackward&, size_t begin, size_t end, float* weight_gradient);
    void (*heads)(const Heads&, size_t begin, size_t end);
    // Adds d weight, [dim], to what is there; `scratch` is [dim].
    void (*heads_backward)(const HeadsBackward&, size_t begin, size_t end, float* weight_gradient, float* scratch);
    void (*swiglu)(const Swiglu&, size_t begin, size_t end);
    void (*swiglu_backward)(const SwigluBackward&, size_t begin, size_t end);
    // Returns the sum of the rows; `scratch` is [vocab_size].
    double (*cross_entropy)(const CrossEntropy&, size_t begin, size_t end, float* scratch);
};

struct Kernels {
    const char* name;
    TypeKernels f32;
    TypeKernels bf16;
    void (*add)(const uint16_t* x, float* sum, size_t num);  // bf16 to what is there
};

const Kernels& portable_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
#endif

// Of the tier that the engine has on this machine (engine/kernels.h); chosen at the first call.
const Kernels& kernels_of_this_machine();

}  // namespace textmill::training
