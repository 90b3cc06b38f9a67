// Logistic regression over rows of buckets, one row after the other: the same sums in the same order everywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace textmill::text {

struct LogisticSettings {
    double learning_rate;
    double l2;  // pulls the weights of a row's buckets to zero when the row is seen
};

struct LinearModel {
    std::vector<float> weights;  // of each bucket
    float bias;
};

// Fits P(label = 1) = 1 / (1 + exp(-(bias + sum of the row's weights / sqrt(its length)))) by AdaGrad (Duchi et al.,
// JMLR 2011). `order` names the rows to go through, each as often as it stands there; `row_weights` is how much each
// row counts. Throws std::invalid_argument where a bucket, row or start is out of range.
LinearModel fit_logistic(std::span<const int64_t> starts, std::span<const uint32_t> buckets,
                         std::span<const uint8_t> labels, std::span<const float> row_weights,
                         std::span<const int64_t> order, size_t num_buckets, const LogisticSettings& settings);

}  // namespace textmill::text
