// What a step of training does to its activations. Arrays come as the addresses of torch's tensors, whose types and
// strides textmill.model.kernels has checked: through nb::ndarray each would cost as much as a small kernel.
#include <nanobind/nanobind.h>

#include <cstdint>

#include "training/kernels.h"
#include "training/rows.h"

namespace nb = nanobind;
using namespace nb::literals;
namespace training = textmill::training;

namespace {

template <typename T = void>
T* at(uintptr_t address) {
    return reinterpret_cast<T*>(address);  // NOLINT(performance-no-int-to-ptr)
}

training::Type type_of(bool is_bf16) {
    return is_bf16 ? training::Type::kBF16 : training::Type::kF32;
}

void norm(uintptr_t x, uintptr_t added, uintptr_t sum, uintptr_t weight, float eps, uintptr_t out, uintptr_t inverse,
          size_t num_rows, size_t width, bool is_bf16, size_t num_threads) {
    const training::Norm task{at(x),    at(added), at(sum), at<float>(weight), eps, at(out), at<float>(inverse),
                              num_rows, width};
    training::norm(task, type_of(is_bf16), num_threads);
}

void norm_backward(uintptr_t gradient, uintptr_t x, uintptr_t inverse, uintptr_t weight, uintptr_t added,
                   uintptr_t x_gradient, uintptr_t weight_gradient, size_t num_rows, size_t width, bool is_bf16,
                   size_t num_threads) {
    const training::NormBackward task{at(gradient), at(x),          at<float>(inverse), at<float>(weight),
                                      at(added),    at(x_gradient), num_rows,           width};
    training::norm_backward(task, at<float>(weight_gradient), type_of(is_bf16), num_threads);
}

void heads(uintptr_t x, size_t x_stride, uintptr_t out, size_t out_stride, size_t num_tokens, size_t num_heads,
           size_t dim, uintptr_t weight, float eps, uintptr_t inverse, uintptr_t cosines, uintptr_t sines,
           size_t num_angles, bool is_bf16, size_t num_threads) {
    const training::Heads task{
        at(x),     x_stride,          at(out), out_stride,         num_tokens,         num_heads,
        dim,       at<float>(weight), eps,     at<float>(inverse), at<float>(cosines), at<float>(sines),
        num_angles};
    training::heads(task, type_of(is_bf16), num_threads);
}

void heads_backward(uintptr_t gradient, size_t gradient_stride, uintptr_t x, size_t x_stride, uintptr_t x_gradient,
                    size_t x_gradient_stride, size_t num_tokens, size_t num_heads, size_t dim, uintptr_t weight,
                    uintptr_t inverse, uintptr_t cosines, uintptr_t sines, size_t num_angles, uintptr_t weight_gradient,
                    bool is_bf16, size_t num_threads) {
    const training::HeadsBackward task{
        at(gradient),     gradient_stride, at(x), x_stride,          at(x_gradient),     x_gradient_stride,
        num_tokens,       num_heads,       dim,   at<float>(weight), at<float>(inverse), at<float>(cosines),
        at<float>(sines), num_angles};
    training::heads_backward(task, at<float>(weight_gradient), type_of(is_bf16), num_threads);
}

void swiglu(uintptr_t gate, size_t gate_stride, uintptr_t up, size_t up_stride, uintptr_t out, size_t num_rows,
            size_t width, bool is_bf16, size_t num_threads) {
    training::swiglu({at(gate), gate_stride, at(up), up_stride, at(out), num_rows, width}, type_of(is_bf16),
                     num_threads);
}

void swiglu_backward(uintptr_t gradient, uintptr_t gate, size_t gate_stride, uintptr_t up, size_t up_stride,
                     uintptr_t gate_gradient, uintptr_t up_gradient, size_t gradient_stride, uintptr_t gated,
                     size_t num_rows, size_t width, bool is_bf16, size_t num_threads) {
    const training::SwigluBackward task{
        at(gradient),    at(gate),        gate_stride, at(up),   up_stride, at(gate_gradient),
        at(up_gradient), gradient_stride, at(gated),   num_rows, width};
    training::swiglu_backward(task, type_of(is_bf16), num_threads);
}

double cross_entropy(uintptr_t logits, uintptr_t targets, bool makes_gradient, size_t num_rows, size_t vocab_size,
                     double z_loss, bool is_bf16, size_t num_threads) {
    return training::cross_entropy({at(logits), at<int64_t>(targets), makes_gradient, num_rows, vocab_size, z_loss},
                                   type_of(is_bf16), num_threads);
}

void add_bf16(uintptr_t x, uintptr_t sum, size_t num, size_t num_threads) {
    training::add_bf16(at<uint16_t>(x), at<float>(sum), num, num_threads);
}

}  // namespace

void bind_training(nb::module_& m) {
    const nb::call_guard<nb::gil_scoped_release> released;
    m.def(
        "training_isa", [] { return training::kernels_of_this_machine().name; },
        "The tier of instructions that the kernels of training use.");
    m.def("training_norm", &norm, released, "x"_a, "added"_a, "sum"_a, "weight"_a, "eps"_a, "out"_a, "inverse"_a,
          "num_rows"_a, "width"_a, "is_bf16"_a, "num_threads"_a,
          "RMSNorm of rows; `added` and `sum` are 0, or rows that are added first and where the sum goes.");
    m.def("training_norm_backward", &norm_backward, released, "gradient"_a, "x"_a, "inverse"_a, "weight"_a, "added"_a,
          "x_gradient"_a, "weight_gradient"_a, "num_rows"_a, "width"_a, "is_bf16"_a, "num_threads"_a,
          "Gradients of RMSNorm; `added` is 0, or what is added to that of x.");
    m.def("training_heads", &heads, released, "x"_a, "x_stride"_a, "out"_a, "out_stride"_a, "num_tokens"_a,
          "num_heads"_a, "dim"_a, "weight"_a, "eps"_a, "inverse"_a, "cosines"_a, "sines"_a, "num_angles"_a, "is_bf16"_a,
          "num_threads"_a, "Norms of heads where `weight` is not 0, then their turns where `cosines` is not 0.");
    m.def("training_heads_backward", &heads_backward, released, "gradient"_a, "gradient_stride"_a, "x"_a, "x_stride"_a,
          "x_gradient"_a, "x_gradient_stride"_a, "num_tokens"_a, "num_heads"_a, "dim"_a, "weight"_a, "inverse"_a,
          "cosines"_a, "sines"_a, "num_angles"_a, "weight_gradient"_a, "is_bf16"_a, "num_threads"_a,
          "Gradients of training_heads.");
    m.def("training_swiglu", &swiglu, released, "gate"_a, "gate_stride"_a, "up"_a, "up_stride"_a, "out"_a, "num_rows"_a,
          "width"_a, "is_bf16"_a, "num_threads"_a, "silu(gate) * up");
    m.def("training_swiglu_backward", &swiglu_backward, released, "gradient"_a, "gate"_a, "gate_stride"_a, "up"_a,
          "up_stride"_a, "gate_gradient"_a, "up_gradient"_a, "gradient_stride"_a, "gated"_a, "num_rows"_a, "width"_a,
          "is_bf16"_a, "num_threads"_a, "Gradients of training_swiglu, and its result again where `gated` is not 0.");
    m.def("training_cross_entropy", &cross_entropy, released, "logits"_a, "targets"_a, "makes_gradient"_a, "num_rows"_a,
          "vocab_size"_a, "z_loss"_a, "is_bf16"_a, "num_threads"_a,
          "Sum of -log softmax(logits)[target]; the gradient takes the logits' place. IndexError for a target that is "
          "no\n"
          "token.");
    m.def("training_add", &add_bf16, released, "x"_a, "sum"_a, "num"_a, "num_threads"_a, "Add bf16 to f32.");
}
