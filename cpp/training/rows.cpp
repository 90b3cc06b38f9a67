#include "training/rows.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <vector>

#include "training/team.h"

namespace textmill::training {
namespace {

// A piece is some microseconds of work, so that taking one costs nothing and the last to end is not waited for long.
constexpr size_t kPieceValues = 1 << 14;

const TypeKernels& kernels_of(Type type) {
    const Kernels& kernels = kernels_of_this_machine();
    return type == Type::kF32 ? kernels.f32 : kernels.bf16;
}

struct Cut {
    size_t num_rows;
    size_t piece_rows;

    Cut(size_t num, size_t width)
        : num_rows(num), piece_rows(std::max<size_t>(1, kPieceValues / std::max<size_t>(1, width))) {}
    size_t num_pieces() const { return (num_rows + piece_rows - 1) / piece_rows; }
    size_t begin(size_t piece) const { return piece * piece_rows; }
    size_t end(size_t piece) const { return std::min(num_rows, begin(piece) + piece_rows); }
};

template <typename Task, typename Kernel>
void each_rows(const Task& task, Kernel kernel, const Cut& cut, size_t num_threads) {
    each_piece(num_threads, cut.num_pieces(),
               [&](size_t piece, size_t) { kernel(task, cut.begin(piece), cut.end(piece)); });
}

// Each piece's rows of a sum, [pieces][width], added in their order.
void add_parts(const std::vector<float>& parts, size_t width, float* sum) {
    std::fill_n(sum, width, 0.0f);
    for (size_t at = 0; at < parts.size(); at += width) {
        for (size_t i = 0; i < width; ++i) {
            sum[i] += parts[at + i];
        }
    }
}

}  // namespace

void norm(const Norm& task, Type type, size_t num_threads) {
    each_rows(task, kernels_of(type).norm, Cut(task.num_rows, task.width), num_threads);
}

void norm_backward(const NormBackward& task, float* weight_gradient, Type type, size_t num_threads) {
    const Cut cut(task.num_rows, task.width);
    const auto kernel = kernels_of(type).norm_backward;
    std::vector<float> parts(cut.num_pieces() * task.width);
    each_piece(num_threads, cut.num_pieces(), [&](size_t piece, size_t) {
        kernel(task, cut.begin(piece), cut.end(piece), parts.data() + piece * task.width);
    });
    add_parts(parts, task.width, weight_gradient);
}

void heads(const Heads& task, Type type, size_t num_threads) {
    each_rows(task, kernels_of(type).heads, Cut(task.num_tokens, task.num_heads * task.dim), num_threads);
}

void heads_backward(const HeadsBackward& task, float* weight_gradient, Type type, size_t num_threads) {
    const Cut cut(task.num_tokens, task.num_heads * task.dim);
    const auto kernel = kernels_of(type).heads_backward;
    const size_t width = task.weight == nullptr ? 0 : task.dim;
    std::vector<float> parts(cut.num_pieces() * width);
    std::vector<float> scratch(num_threads * width);
    each_piece(num_threads, cut.num_pieces(), [&](size_t piece, size_t worker) {
        kernel(task, cut.begin(piece), cut.end(piece), parts.data() + piece * width, scratch.data() + worker * width);
    });
    if (width > 0) {
        add_parts(parts, width, weight_gradient);
    }
}

void swiglu(const Swiglu& task, Type type, size_t num_threads) {
    each_rows(task, kernels_of(type).swiglu, Cut(task.num_rows, task.width), num_threads);
}

void swiglu_backward(const SwigluBackward& task, Type type, size_t num_threads) {
    each_rows(task, kernels_of(type).swiglu_backward, Cut(task.num_rows, task.width), num_threads);
}

double cross_entropy(const CrossEntropy& task, Type type, size_t num_threads) {
    for (size_t row = 0; row < task.num_rows; ++row) {
        const int64_t target = task.targets[row];
        if (target != kNoTarget && (target < 0 || static_cast<size_t>(target) >= task.vocab_size)) {
            throw std::out_of_range("target " + std::to_string(target) + " is no token of a vocabulary of " +
                                    std::to_string(task.vocab_size));
        }
    }
    const Cut cut(task.num_rows, task.vocab_size);
    const auto kernel = kernels_of(type).cross_entropy;
    std::vector<double> nats(cut.num_pieces());
    std::vector<float> scratch(num_threads * task.vocab_size);
    each_piece(num_threads, cut.num_pieces(), [&](size_t piece, size_t worker) {
        nats[piece] = kernel(task, cut.begin(piece), cut.end(piece), scratch.data() + worker * task.vocab_size);
    });
    double sum = 0.0;
    for (const double part : nats) {
        sum += part;
    }
    return sum;
}

void add_bf16(const uint16_t* x, float* sum, size_t num, size_t num_threads) {
    const Cut cut(num, 1);
    const auto kernel = kernels_of_this_machine().add;
    each_piece(num_threads, cut.num_pieces(), [&](size_t piece, size_t) {
        kernel(x + cut.begin(piece), sum + cut.begin(piece), cut.end(piece) - cut.begin(piece));
    });
}

}  // namespace textmill::training
