// Attention of training, forward and backward, in each tier against sums in double, in the scratch memory that it asks
// for.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <vector>

#include "engine/half.h"
#include "engine/tiers.h"
#include "training/attention.h"

namespace {

using namespace textmill::training;
namespace engine = textmill::engine;

void check(bool condition, const char* what, int line) {
    if (!condition) {
        std::fprintf(stderr, "test_attention.cpp:%d: %s\n", line, what);
        std::exit(1);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

std::vector<const AttentionKernels*> kernels_here() {
    std::vector<const AttentionKernels*> here = {&portable_attention()};
#if defined(__x86_64__)
    for (const engine::Tier& tier : engine::tiers()) {
        if (tier.is_supported() && std::strcmp(tier.name, "avx512") == 0) {
            here.push_back(&avx512_attention());
        } else if (tier.is_supported() && std::strcmp(tier.name, "avx2") == 0) {
            here.push_back(&avx2_attention());
        }
    }
#endif
    return here;
}

// [rows, tokens, heads, head size] as they are stored, and as doubles.
struct Tensor {
    AttentionShape shape;
    size_t num_heads;
    Type type;
    std::vector<float> floats;
    std::vector<uint16_t> halves;

    Tensor(const AttentionShape& of, size_t heads, Type stored, std::mt19937& generator)
        : shape(of), num_heads(heads), type(stored) {
        const size_t size = of.num_rows * of.num_tokens * heads * of.head_dim;
        std::normal_distribution<float> normal;
        for (size_t i = 0; i < size; ++i) {
            floats.push_back(normal(generator));
            halves.push_back(engine::float_to_bf16(floats.back()));
        }
    }
    HeadsTensor view() {
        const auto head = static_cast<ptrdiff_t>(shape.head_dim);
        const auto token = static_cast<ptrdiff_t>(num_heads) * head;
        const auto row = static_cast<ptrdiff_t>(shape.num_tokens) * token;
        return {type == Type::kF32 ? static_cast<void*>(floats.data()) : halves.data(), row, token, head};
    }
    double at(size_t row, size_t token, size_t head, size_t d) const {
        const size_t i = ((row * shape.num_tokens + token) * num_heads + head) * shape.head_dim + d;
        return type == Type::kF32 ? floats[i] : engine::bf16_to_float(halves[i]);
    }
};

// Compares with the formulas, a pair of tokens after the other.
void compare(const AttentionShape& shape, Type type, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& o,
             const std::vector<float>& lse, const Tensor& d_o, const Tensor& d_q, const Tensor& d_k,
             const Tensor& d_v) {
    const size_t group = shape.num_heads / shape.num_kv_heads;
    const size_t dim = shape.head_dim;
    const double tolerance = type == Type::kF32 ? 2e-5 : 4e-2;
    const auto is_close = [&](double a, double b) { return std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b)); };
    std::vector<double> keys(shape.num_rows * shape.num_tokens * shape.num_kv_heads * dim);
    std::vector<double> values(keys.size());
    for (size_t row = 0; row < shape.num_rows; ++row) {
        for (size_t head = 0; head < shape.num_heads; ++head) {
            for (size_t t = 0; t < shape.num_tokens; ++t) {
                const size_t start =
                    shape.starts == nullptr ? 0 : static_cast<size_t>(shape.starts[row * shape.num_tokens + t]);
                std::vector<double> weights, outputs(dim), gradients(dim);
                double sum = 0, dot = 0;
                for (size_t s = start; s <= t; ++s) {
                    double score = 0;
                    for (size_t d = 0; d < dim; ++d) {
                        score += q.at(row, t, head, d) * k.at(row, s, head / group, d);
                    }
                    weights.push_back(std::exp(score * shape.scale));
                    sum += weights.back();
                }
                for (size_t s = start; s <= t; ++s) {
                    for (size_t d = 0; d < dim; ++d) {
                        outputs[d] += weights[s - start] / sum * v.at(row, s, head / group, d);
                    }
                }
                for (size_t d = 0; d < dim; ++d) {
                    CHECK(is_close(o.at(row, t, head, d), outputs[d]));
                    dot += outputs[d] * d_o.at(row, t, head, d);
                }
                CHECK(is_close(lse[(row * shape.num_tokens + t) * shape.num_heads + head], std::log(sum)));
                for (size_t s = start; s <= t; ++s) {
                    const size_t at = ((row * shape.num_tokens + s) * shape.num_kv_heads + head / group) * dim;
                    double d_weight = -dot;
                    for (size_t d = 0; d < dim; ++d) {
                        d_weight += d_o.at(row, t, head, d) * v.at(row, s, head / group, d);
                        values[at + d] += weights[s - start] / sum * d_o.at(row, t, head, d);
                    }
                    const double d_score = weights[s - start] / sum * d_weight * shape.scale;
                    for (size_t d = 0; d < dim; ++d) {
                        gradients[d] += d_score * k.at(row, s, head / group, d);
                        keys[at + d] += d_score * q.at(row, t, head, d);
                    }
                }
                for (size_t d = 0; d < dim; ++d) {
                    CHECK(is_close(d_q.at(row, t, head, d), gradients[d]));
                }
            }
        }
    }
    for (size_t i = 0; i < keys.size(); ++i) {
        const size_t token = i / dim / shape.num_kv_heads % shape.num_tokens;
        const size_t row = i / dim / shape.num_kv_heads / shape.num_tokens;
        const size_t head = i / dim % shape.num_kv_heads;
        CHECK(is_close(d_k.at(row, token, head, i % dim), keys[i]));
        CHECK(is_close(d_v.at(row, token, head, i % dim), values[i]));
    }
}

struct Freed {
    void operator()(uint8_t* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};

std::unique_ptr<uint8_t, Freed> scratch_of(size_t num_bytes) {
    return std::unique_ptr<uint8_t, Freed>(static_cast<uint8_t*>(::operator new(num_bytes, std::align_val_t{64})));
}

void test(const AttentionKernels& kernels, AttentionShape shape, Type type) {
    std::mt19937 generator(static_cast<unsigned>(shape.num_tokens));
    shape.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    Tensor q(shape, shape.num_heads, type, generator), k(shape, shape.num_kv_heads, type, generator);
    Tensor v(shape, shape.num_kv_heads, type, generator), o(shape, shape.num_heads, type, generator);
    Tensor d_o(shape, shape.num_heads, type, generator), d_q(shape, shape.num_heads, type, generator);
    Tensor d_k(shape, shape.num_kv_heads, type, generator), d_v(shape, shape.num_kv_heads, type, generator);
    std::vector<float> lse(shape.num_rows * shape.num_tokens * shape.num_heads);
    const AttentionForward forward{shape, q.view(), k.view(), v.view(), o.view(), lse.data()};
    const AttentionBackward backward{shape,      q.view(),   k.view(),   v.view(),   o.view(),
                                     lse.data(), d_o.view(), d_q.view(), d_k.view(), d_v.view()};
    const auto forward_scratch = scratch_of(kernels.forward_scratch(shape, type));
    const auto backward_scratch = scratch_of(kernels.backward_scratch(shape, type));
    for (size_t unit = 0; unit < shape.num_rows * shape.num_kv_heads; ++unit) {
        kernels.forward(forward, type, unit, forward_scratch.get());
    }
    for (size_t unit = 0; unit < shape.num_rows * shape.num_kv_heads; ++unit) {
        kernels.backward(backward, type, unit, backward_scratch.get());
    }
    compare(shape, type, q, k, v, o, lse, d_o, d_q, d_k, d_v);
}

}  // namespace

int main() {
    for (const AttentionKernels* kernels : kernels_here()) {
        for (const Type type : {Type::kF32, Type::kBF16}) {
            for (const size_t head_dim : {1u, 2u, 15u, 16u, 33u, 48u, 80u}) {
                for (const size_t num_tokens : {1u, 2u, 15u, 17u, 70u}) {
                    AttentionShape shape{2, num_tokens, 4, 2, head_dim, 0.0f, nullptr};
                    test(*kernels, shape, type);
                    std::vector<int32_t> starts;  // documents of 11 tokens
                    for (size_t t = 0; t < 2 * num_tokens; ++t) {
                        starts.push_back(static_cast<int32_t>(t % num_tokens / 11 * 11));
                    }
                    shape.starts = starts.data();
                    test(*kernels, shape, type);
                }
            }
            test(*kernels, {1, 300, 2, 1, 8, 0.0f, nullptr}, type);
        }
        std::printf("%s: attention is as it should be\n", kernels->name);
    }
}
