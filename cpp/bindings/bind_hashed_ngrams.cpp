#include <span>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/text_views.h"
#include "text/hashed_ngrams.h"
#include "text/logistic.h"

namespace nb = nanobind;
using namespace nb::literals;
using textmill::bindings::text_views;
using textmill::bindings::to_array;
using textmill::bindings::View1;

namespace {

template <typename T>
std::span<const T> span_of(const View1<T>& view) {
    return {view.data(), view.size()};
}

nb::tuple hashed_ngrams(const View1<uint8_t>& data, const View1<int64_t>& offsets, size_t num_buckets, size_t max_ngram,
                        unsigned num_threads) {
    const auto texts = text_views(data, offsets);
    textmill::text::BucketRows rows;
    {
        const nb::gil_scoped_release release;
        rows = textmill::text::hashed_ngrams(texts, num_buckets, max_ngram, num_threads);
    }
    return nb::make_tuple(to_array(std::move(rows.starts)), to_array(std::move(rows.buckets)));
}

auto linear_scores(const View1<uint8_t>& data, const View1<int64_t>& offsets, const View1<float>& weights, float bias,
                   size_t max_ngram, unsigned num_threads) {
    const auto texts = text_views(data, offsets);
    std::vector<float> scores;
    {
        const nb::gil_scoped_release release;
        scores = textmill::text::linear_scores(texts, span_of(weights), bias, max_ngram, num_threads);
    }
    return to_array(std::move(scores));
}

nb::tuple fit_logistic(const View1<int64_t>& starts, const View1<uint32_t>& buckets, const View1<uint8_t>& labels,
                       const View1<float>& row_weights, const View1<int64_t>& order, size_t num_buckets,
                       double learning_rate, double l2) {
    if (starts.size() == 0) {
        throw std::invalid_argument("starts must have one more entry than there are rows, and is empty");
    }
    textmill::text::LinearModel model;
    {
        const nb::gil_scoped_release release;
        model = textmill::text::fit_logistic(span_of(starts), span_of(buckets), span_of(labels), span_of(row_weights),
                                             span_of(order), num_buckets, {learning_rate, l2});
    }
    return nb::make_tuple(to_array(std::move(model.weights)), model.bias);
}

}  // namespace

void bind_hashed_ngrams(nb::module_& m) {
    m.def("hashed_ngrams", &hashed_ngrams, "data"_a, "offsets"_a, "num_buckets"_a, "max_ngram"_a = 2,
          "num_threads"_a = 0,
          nb::sig("def hashed_ngrams(data: numpy.typing.NDArray[numpy.uint8], offsets: "
                  "numpy.typing.NDArray[numpy.int64], num_buckets: int, max_ngram: int = 2, num_threads: int = 0) -> "
                  "tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.uint32]]"),
          "The distinct buckets of the n-grams of each text's words, as rows: starts int64[n + 1] and buckets\n"
          "uint32[starts[n]]. ValueError where the number of buckets is no power of two.");
    m.def("linear_scores", &linear_scores, "data"_a, "offsets"_a, "weights"_a, "bias"_a, "max_ngram"_a = 2,
          "num_threads"_a = 0,
          nb::sig("def linear_scores(data: numpy.typing.NDArray[numpy.uint8], offsets: "
                  "numpy.typing.NDArray[numpy.int64], weights: numpy.typing.NDArray[numpy.float32], bias: float, "
                  "max_ngram: int = 2, num_threads: int = 0) -> numpy.typing.NDArray[numpy.float32]"),
          "The bias and the sum of the weights of each text's buckets over the square root of their number:\n"
          "float32[n]. There is a weight for each bucket.");
    m.def(
        "fit_logistic", &fit_logistic, "starts"_a, "buckets"_a, "labels"_a, "row_weights"_a, "order"_a, nb::kw_only(),
        "num_buckets"_a, "learning_rate"_a, "l2"_a,
        nb::sig("def fit_logistic(starts: numpy.typing.NDArray[numpy.int64], buckets: "
                "numpy.typing.NDArray[numpy.uint32], labels: numpy.typing.NDArray[numpy.uint8], row_weights: "
                "numpy.typing.NDArray[numpy.float32], order: numpy.typing.NDArray[numpy.int64], *, num_buckets: int, "
                "learning_rate: float, l2: float) -> tuple[numpy.typing.NDArray[numpy.float32], float]"),
        "Logistic regression over rows of buckets by AdaGrad, the rows in the order given: the weight of each bucket\n"
        "and the bias. ValueError where the arrays do not describe the same rows.");
}
