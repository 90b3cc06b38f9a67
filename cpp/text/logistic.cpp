#include "text/logistic.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace textmill::text {
namespace {

constexpr double kSmall = 1e-8;  // keeps the first step finite

void check(std::span<const int64_t> starts, std::span<const uint32_t> buckets, size_t num_rows,
           std::span<const float> row_weights, std::span<const int64_t> order, size_t num_buckets) {
    bool is_right = starts.size() == num_rows + 1 && row_weights.size() == num_rows && starts.front() == 0 &&
                    std::is_sorted(starts.begin(), starts.end()) &&
                    starts.back() == static_cast<int64_t>(buckets.size());
    is_right = is_right && std::all_of(buckets.begin(), buckets.end(), [&](uint32_t b) { return b < num_buckets; });
    is_right = is_right && std::all_of(order.begin(), order.end(),
                                       [&](int64_t row) { return row >= 0 && static_cast<size_t>(row) < num_rows; });
    if (!is_right) {
        throw std::invalid_argument("starts, buckets, labels, row_weights and order do not describe the same rows");
    }
}

}  // namespace

LinearModel fit_logistic(std::span<const int64_t> starts, std::span<const uint32_t> buckets,
                         std::span<const uint8_t> labels, std::span<const float> row_weights,
                         std::span<const int64_t> order, size_t num_buckets, const LogisticSettings& settings) {
    check(starts, buckets, labels.size(), row_weights, order, num_buckets);
    struct Parameter {
        float weight = 0;
        float squares = 0;  // sum of the squares of its gradients
    };
    std::vector<Parameter> parameters(num_buckets);
    Parameter bias;
    const auto step = [&settings](Parameter& parameter, double gradient) {
        parameter.squares = static_cast<float>(double{parameter.squares} + gradient * gradient);
        parameter.weight = static_cast<float>(double{parameter.weight} - settings.learning_rate * gradient /
                                                                             std::sqrt(parameter.squares + kSmall));
    };
    for (const int64_t number : order) {
        const auto row = static_cast<size_t>(number);
        const auto begin = static_cast<size_t>(starts[row]);
        const auto of_row = buckets.subspan(begin, static_cast<size_t>(starts[row + 1]) - begin);
        const double scale = of_row.empty() ? 1 : 1 / std::sqrt(static_cast<double>(of_row.size()));
        double sum = 0;
        for (const uint32_t bucket : of_row) {
            sum += double{parameters[bucket].weight};
        }
        const double probability = 1 / (1 + std::exp(-(double{bias.weight} + sum * scale)));
        const double error = double{row_weights[row]} * (probability - static_cast<double>(labels[row]));
        for (const uint32_t bucket : of_row) {
            step(parameters[bucket], error * scale + settings.l2 * double{parameters[bucket].weight});
        }
        step(bias, error);
    }
    LinearModel model{std::vector<float>(num_buckets), bias.weight};
    std::transform(parameters.begin(), parameters.end(), model.weights.begin(),
                   [](const Parameter& parameter) { return parameter.weight; });
    return model;
}

}  // namespace textmill::text
