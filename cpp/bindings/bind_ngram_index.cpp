#include <nanobind/stl/string.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/text_views.h"
#include "text/folded_words.h"
#include "text/ngram_index.h"

namespace nb = nanobind;
using namespace nb::literals;
using textmill::bindings::text_views;
using textmill::bindings::to_array;
using textmill::bindings::to_table;
using textmill::bindings::View1;
using textmill::text::NgramIndex;
using textmill::text::OverlapMatches;
using textmill::text::OverlapMeasure;

namespace {

OverlapMeasure measure_named(const std::string& name) {
    for (const auto& [known, measure] : {std::pair{"subsequence", OverlapMeasure::kSubsequence},
                                         {"blocks", OverlapMeasure::kBlocks},
                                         {"ngram", OverlapMeasure::kNgram},
                                         {"whole", OverlapMeasure::kWhole},
                                         {"containment", OverlapMeasure::kContainment}}) {
        if (name == known) {
            return measure;
        }
    }
    throw std::invalid_argument("there is no measure \"" + name +
                                "\": subsequence, blocks, ngram, whole or containment");
}

void build(NgramIndex* self, const View1<uint8_t>& data, const View1<int64_t>& offsets, size_t ngram, size_t min_words,
           const std::string& measure, double min_ratio) {
    const auto entries = text_views(data, offsets);
    const textmill::text::OverlapSettings settings{ngram, min_words, measure_named(measure), min_ratio};
    const nb::gil_scoped_release release;
    new (self) NgramIndex(entries, settings);
}

nb::tuple scan(const NgramIndex& index, const View1<uint8_t>& data, const View1<int64_t>& offsets,
               unsigned num_threads) {
    const auto documents = text_views(data, offsets);
    std::vector<int64_t> rows;
    std::vector<double> ratios;
    OverlapMatches found;
    {
        const nb::gil_scoped_release release;
        found = index.scan(documents, num_threads);
        for (const auto& match : found.matches) {
            rows.insert(rows.end(),
                        {match.document, match.entry, match.begin, match.end, match.ngram_begin, match.ngram_end});
            ratios.push_back(match.ratio);
        }
    }
    return nb::make_tuple(to_table(std::move(rows), 6), to_array(std::move(ratios)),
                          to_array(std::move(found.num_rejected)));
}

auto folded_word_spans(const View1<uint8_t>& data) {
    std::vector<int64_t> spans;
    {
        const nb::gil_scoped_release release;
        const std::string_view text(reinterpret_cast<const char*>(data.data()), data.size());
        textmill::text::each_folded_word(text, [&spans](const textmill::text::FoldedWord& word) {
            spans.insert(spans.end(), {word.begin, word.end});
        });
    }
    return to_table(std::move(spans), 2);
}

}  // namespace

void bind_ngram_index(nb::module_& m) {
    m.def("folded_word_spans", &folded_word_spans, "data"_a,
          nb::sig("def folded_word_spans(data: numpy.typing.NDArray[numpy.uint8]) -> "
                  "numpy.typing.NDArray[numpy.int64]"),
          "First and last byte (exclusive) of each word of a text as matching sees words: int64[n, 2].");
    nb::class_<NgramIndex>(m, "NgramIndex",
                           "Texts of eval items, found in documents by shared n-grams of words and a measure of what\n"
                           "lies around them. Immutable; any thread may use it.")
        .def("__init__", &build, "data"_a, "offsets"_a, nb::kw_only(), "ngram"_a, "min_words"_a, "measure"_a,
             "min_ratio"_a,
             nb::sig("def __init__(self, data: numpy.typing.NDArray[numpy.uint8], offsets: "
                     "numpy.typing.NDArray[numpy.int64], *, ngram: int, min_words: int, measure: str, min_ratio: float)"
                     " -> None"),
             "The measure is subsequence, blocks, ngram, whole or containment. Texts of fewer words than `ngram` are\n"
             "compared whole, those of fewer than `min_words` not at all. ValueError for a measure that is none.")
        .def_prop_ro(
            "num_words", [](const NgramIndex& index) { return to_array(index.num_words()); }, nb::rv_policy::move,
            nb::sig("def num_words(self) -> numpy.typing.NDArray[numpy.int64]"), "Words of each text.")
        .def("scan", &scan, "data"_a, "offsets"_a, "num_threads"_a = 0,
             nb::sig("def scan(self, data: numpy.typing.NDArray[numpy.uint8], offsets: "
                     "numpy.typing.NDArray[numpy.int64], num_threads: int = 0) -> "
                     "tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.float64], "
                     "numpy.typing.NDArray[numpy.int64]]"),
             "What is found in documents: (document, text, begin, end, n-gram's begin, n-gram's end), places in bytes\n"
             "of the document, int64[n, 6]; the ratio of each, float64[n]; and for each text in how many documents an\n"
             "n-gram was found and the measure said no, int64[texts]. Zero threads are one for each core.");
}
