#include <cstring>

#include "bindings/text_views.h"
#include "text/each_text.h"
#include "text/sentences.h"
#include "text/words.h"

namespace nb = nanobind;
namespace text = textmill::text;
using namespace nb::literals;
using textmill::bindings::text_views;
using textmill::bindings::to_array;
using textmill::bindings::View1;

namespace {

struct FoundSpans {
    std::vector<uint32_t> edges;  // begin and end of each, in bytes of its text
    std::vector<int64_t> counts;  // before each text, and in all
};

nb::tuple word_spans(const View1<uint8_t>& data, const View1<int64_t>& offsets) {
    const auto texts = text_views(data, offsets);
    FoundSpans found{{}, {0}};
    {
        const nb::gil_scoped_release release;
        text::WordSplitter splitter;
        for (const std::string_view one : texts) {
            for (const text::WordSpan& word : splitter.split(one)) {
                found.edges.insert(found.edges.end(), {word.begin, word.end});
            }
            found.counts.push_back(static_cast<int64_t>(found.edges.size() / 2));
        }
    }
    return nb::make_tuple(textmill::bindings::to_table(std::move(found.edges), 2), to_array(std::move(found.counts)));
}

auto count_words(const View1<uint8_t>& data, const View1<int64_t>& offsets, unsigned num_threads) {
    const auto texts = text_views(data, offsets);
    std::vector<int64_t> counts(texts.size());
    {
        const nb::gil_scoped_release release;
        text::each_text<text::WordSplitter>(texts, num_threads, [&](text::WordSplitter& splitter, size_t i) {
            counts[i] = static_cast<int64_t>(splitter.split(texts[i]).size());
        });
    }
    return to_array(std::move(counts));
}

auto sentence_ends(const nb::bytes& utf8) {
    std::vector<uint32_t> ends;
    text::find_sentence_ends({utf8.c_str(), utf8.size()}, ends);
    return to_array(std::move(ends));
}

}  // namespace

void bind_words(nb::module_& m) {
    m.def(
        "word_spans", &word_spans, "data"_a, "offsets"_a,
        nb::sig("def word_spans(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64]) "
                "-> tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.int64]]"),
        "The words of texts: begin and end of each in bytes of its text, uint32[num_words, 2], and how many there are\n"
        "before each text and in all, int64[num_texts + 1].");
    m.def("count_words", &count_words, "data"_a, "offsets"_a, "num_threads"_a,
          nb::sig("def count_words(data: numpy.typing.NDArray[numpy.uint8], offsets: "
                  "numpy.typing.NDArray[numpy.int64], num_threads: int) -> numpy.typing.NDArray[numpy.int64]"),
          "How many words each text has; int64[num_texts].");
    m.def("sentence_ends", &sentence_ends, "utf8"_a,
          nb::sig("def sentence_ends(utf8: bytes) -> numpy.typing.NDArray[numpy.uint32]"),
          "The byte behind each sentence of a text; uint32[num_sentences].");
}
