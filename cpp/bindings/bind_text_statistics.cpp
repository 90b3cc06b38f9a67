#include <algorithm>

#include "bindings/text_views.h"
#include "text/each_text.h"
#include "text/repetition.h"
#include "text/word_statistics.h"

namespace nb = nanobind;
namespace text = textmill::text;
using namespace nb::literals;
using textmill::bindings::text_views;
using textmill::bindings::View1;

namespace {

// One row a text, from measure(worker, text).
template <typename Worker, size_t kNumColumns, typename Measure>
auto table_of(const View1<uint8_t>& data, const View1<int64_t>& offsets, unsigned num_threads, Measure&& measure) {
    const auto texts = text_views(data, offsets);
    std::vector<double> rows(texts.size() * kNumColumns);
    {
        const nb::gil_scoped_release release;
        text::each_text<Worker>(texts, num_threads, [&](Worker& worker, size_t i) {
            const std::array<double, kNumColumns> row = measure(worker, texts[i]);
            std::copy(row.begin(), row.end(), rows.begin() + static_cast<ptrdiff_t>(i * kNumColumns));
        });
    }
    return textmill::bindings::to_table(std::move(rows), kNumColumns);
}

text::CharacterSet set_of(const View1<uint32_t>& code_points) {
    return text::CharacterSet({code_points.data(), code_points.size()});
}

auto word_statistics(const View1<uint8_t>& data, const View1<int64_t>& offsets, const View1<uint32_t>& punctuation,
                     unsigned num_threads) {
    const text::CharacterSet set = set_of(punctuation);
    return table_of<text::WordStatistics, text::kNumQualityColumns>(
        data, offsets, num_threads,
        [&](text::WordStatistics& worker, std::string_view one) { return worker.quality(one, set); });
}

auto line_statistics(const View1<uint8_t>& data, const View1<int64_t>& offsets, const View1<uint32_t>& end_marks,
                     unsigned num_threads) {
    const text::CharacterSet set = set_of(end_marks);
    return table_of<text::WordStatistics, text::kNumLineColumns>(
        data, offsets, num_threads,
        [&](text::WordStatistics& worker, std::string_view one) { return worker.lines(one, set); });
}

auto repetition_statistics(const View1<uint8_t>& data, const View1<int64_t>& offsets, unsigned num_threads) {
    return table_of<text::Repetition, text::kNumRepetitionColumns>(
        data, offsets, num_threads, [](text::Repetition& worker, std::string_view one) { return worker.measure(one); });
}

}  // namespace

void bind_text_statistics(nb::module_& m) {
    m.def("word_statistics", &word_statistics, "data"_a, "offsets"_a, "punctuation"_a, "num_threads"_a,
          nb::sig("def word_statistics(data: numpy.typing.NDArray[numpy.uint8], offsets: "
                  "numpy.typing.NDArray[numpy.int64], punctuation: numpy.typing.NDArray[numpy.uint32], num_threads: "
                  "int) -> numpy.typing.NDArray[numpy.float64]"),
          "What Gopher's quality rules ask of each text; float64[num_texts, 8].");
    m.def("line_statistics", &line_statistics, "data"_a, "offsets"_a, "end_marks"_a, "num_threads"_a,
          nb::sig("def line_statistics(data: numpy.typing.NDArray[numpy.uint8], offsets: "
                  "numpy.typing.NDArray[numpy.int64], end_marks: numpy.typing.NDArray[numpy.uint32], num_threads: int) "
                  "-> numpy.typing.NDArray[numpy.float64]"),
          "What FineWeb's own rules ask of each text; float64[num_texts, 5].");
    m.def("repetition_statistics", &repetition_statistics, "data"_a, "offsets"_a, "num_threads"_a,
          nb::sig("def repetition_statistics(data: numpy.typing.NDArray[numpy.uint8], offsets: "
                  "numpy.typing.NDArray[numpy.int64], num_threads: int) -> numpy.typing.NDArray[numpy.float64]"),
          "What Gopher's repetition rules ask of each text; float64[num_texts, 13].");
}
