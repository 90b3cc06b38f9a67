// The kernels over all rows, on threads.
//
// Rows are cut by sizes alone, and parts of a sum are added in the order of the rows: what comes out does not depend on
// the number of threads.
#pragma once

#include <cstddef>

#include "training/kernels.h"

namespace textmill::training {

void norm(const Norm& task, Type type, size_t num_threads);
// weight_gradient: [width], written.
void norm_backward(const NormBackward& task, float* weight_gradient, Type type, size_t num_threads);
void heads(const Heads& task, Type type, size_t num_threads);
// weight_gradient: [dim], written where there is a weight.
void heads_backward(const HeadsBackward& task, float* weight_gradient, Type type, size_t num_threads);
void swiglu(const Swiglu& task, Type type, size_t num_threads);
void swiglu_backward(const SwigluBackward& task, Type type, size_t num_threads);
// The sum over all rows. Throws std::out_of_range for a target that is no token.
double cross_entropy(const CrossEntropy& task, Type type, size_t num_threads);
void add_bf16(const uint16_t* x, float* sum, size_t num, size_t num_threads);

}  // namespace textmill::training
