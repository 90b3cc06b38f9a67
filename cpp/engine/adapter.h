// Low-rank changes of a model's matrices, for some of the texts that it computes (LoRA, arXiv:2106.09685 §4.1).
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "engine/model.h"
#include "engine/thread_pool.h"

namespace textmill::engine {

// W x becomes W x + B (A x), in float32.
struct LowRank {
    Linear a;  // [rank, columns of W]
    Linear b;  // [rows of W, rank], the adapter's scale multiplied in
};

class Adapter {
  public:
    // The shape must outlive it.
    explicit Adapter(const ModelShape& shape) : shape_(shape), layers_(shape.layers.size()) {}

    // Null where the matrix is left as it is.
    const LowRank* find(size_t layer, Projection projection) const {
        const LowRank& found = layers_[layer][static_cast<size_t>(projection)];
        return found.a.weight.empty() ? nullptr : &found;
    }
    // The largest of all matrices.
    size_t rank() const { return rank_; }
    size_t num_bytes() const;

    // Factors a [rank, columns of W] and b [rows of W, rank] of a matrix by Hugging Face's name. Throws
    // std::invalid_argument for a name that is not known, sizes that do not fit the shape, and what is not finite.
    void set(size_t layer, std::string_view name, size_t rank, std::span<const float> a, std::span<const float> b,
             float scale, ThreadPool& pool);

  private:
    const ModelShape& shape_;
    std::vector<std::array<LowRank, kNumProjections>> layers_;
    size_t rank_ = 0;
};

}  // namespace textmill::engine
