// Attention of training. Tensors come as addresses and strides (bind_training.cpp says why), which
// textmill.model.attention_kernels has checked.
#include <nanobind/nanobind.h>
#include <nanobind/stl/tuple.h>

#include <cstddef>
#include <cstdint>
#include <tuple>

#include "training/attention.h"

namespace nb = nanobind;
using namespace nb::literals;
namespace training = textmill::training;

namespace {

// Address, and the elements between rows, tokens and heads.
using Tensor = std::tuple<uintptr_t, ptrdiff_t, ptrdiff_t, ptrdiff_t>;
// Rows, tokens, query heads, key-value heads and head size.
using Shape = std::tuple<size_t, size_t, size_t, size_t, size_t>;

template <typename T>
T* at(uintptr_t address) {
    return reinterpret_cast<T*>(address);  // NOLINT(performance-no-int-to-ptr)
}

training::HeadsTensor heads(const Tensor& tensor) {
    const auto [address, row, token, head] = tensor;
    return {at<void>(address), row, token, head};
}

training::AttentionShape shape_of(const Shape& shape, float scale, uintptr_t starts) {
    const auto [num_rows, num_tokens, num_heads, num_kv_heads, head_dim] = shape;
    return {num_rows, num_tokens, num_heads, num_kv_heads, head_dim, scale, at<const int32_t>(starts)};
}

training::Type type_of(bool is_bf16) {
    return is_bf16 ? training::Type::kBF16 : training::Type::kF32;
}

void attention(const Shape& shape, float scale, uintptr_t starts, const Tensor& q, const Tensor& k, const Tensor& v,
               const Tensor& o, uintptr_t lse, bool is_bf16, size_t num_threads) {
    const training::AttentionForward task{
        shape_of(shape, scale, starts), heads(q), heads(k), heads(v), heads(o), at<float>(lse)};
    const nb::gil_scoped_release released;
    training::attention_forward(task, type_of(is_bf16), num_threads);
}

void attention_backward(const Shape& shape, float scale, uintptr_t starts, const Tensor& q, const Tensor& k,
                        const Tensor& v, const Tensor& o, uintptr_t lse, const Tensor& d_o, const Tensor& d_q,
                        const Tensor& d_k, const Tensor& d_v, bool is_bf16, size_t num_threads) {
    const training::AttentionBackward task{
        shape_of(shape, scale, starts), heads(q),   heads(k),   heads(v),   heads(o),
        at<const float>(lse),           heads(d_o), heads(d_q), heads(d_k), heads(d_v)};
    const nb::gil_scoped_release released;
    training::attention_backward(task, type_of(is_bf16), num_threads);
}

}  // namespace

void bind_training_attention(nb::module_& m) {
    m.def("training_attention", &attention, "shape"_a, "scale"_a, "starts"_a, "q"_a, "k"_a, "v"_a, "o"_a, "lse"_a,
          "is_bf16"_a, "num_threads"_a,
          "Causal softmax(q k^T scale) v and log-sums; `starts` is 0, or the first token that each token sees.");
    m.def("training_attention_backward", &attention_backward, "shape"_a, "scale"_a, "starts"_a, "q"_a, "k"_a, "v"_a,
          "o"_a, "lse"_a, "d_o"_a, "d_q"_a, "d_k"_a, "d_v"_a, "is_bf16"_a, "num_threads"_a,
          "Gradients of training_attention.");
}
