#include "engine/adapter.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace textmill::engine {
namespace {

[[noreturn]] void refuse(const std::string& reason) {
    throw std::invalid_argument(reason);
}

Linear linear_of(size_t num_rows, size_t num_cols, const float* values, ThreadPool& pool) {
    Linear linear{Panels(WeightType::kF32, num_rows, num_cols), {}};
    if (linear.weight.fill(StoredType::kF32, reinterpret_cast<const uint8_t*>(values), nullptr, pool)) {
        refuse("it holds a value that is not finite");
    }
    return linear;
}

}  // namespace

size_t Adapter::num_bytes() const {
    size_t total = 0;
    for (const auto& layer : layers_) {
        for (const LowRank& matrix : layer) {
            total += matrix.a.weight.num_bytes() + matrix.b.weight.num_bytes();
        }
    }
    return total;
}

void Adapter::set(size_t layer, std::string_view name, size_t rank, std::span<const float> a, std::span<const float> b,
                  float scale, ThreadPool& pool) {
    const auto projection = projection_named(name);
    if (!projection || layer >= layers_.size()) {
        refuse(std::string("there is no matrix ") + std::string(name) + " of a layer " + std::to_string(layer));
    }
    const auto [num_rows, num_cols] = shape_.size_of(*projection);
    if (rank == 0 || a.size() != rank * num_cols || b.size() != num_rows * rank) {
        refuse(std::string("factors of ") + std::to_string(a.size()) + " and " + std::to_string(b.size()) +
               " values are none of rank " + std::to_string(rank) + " for a matrix of " + std::to_string(num_rows) +
               " x " + std::to_string(num_cols));
    }
    std::vector<float> scaled(b.size());
    std::transform(b.begin(), b.end(), scaled.begin(), [scale](float value) { return scale * value; });
    LowRank matrix{linear_of(rank, num_cols, a.data(), pool), linear_of(num_rows, rank, scaled.data(), pool)};
    layers_[layer][static_cast<size_t>(*projection)] = std::move(matrix);
    rank_ = std::max(rank_, rank);
}

}  // namespace textmill::engine
