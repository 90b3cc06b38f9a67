#include <nanobind/stl/string.h>

#include <cstring>

#include "bindings/text_views.h"
#include "text/each_text.h"
#include "text/line_edits.h"
#include "text/phrases.h"

namespace nb = nanobind;
namespace text = textmill::text;
using namespace nb::literals;
using textmill::bindings::Array1;
using textmill::bindings::text_views;
using textmill::bindings::to_array;
using textmill::bindings::View1;

namespace {

struct Edits {
    std::vector<std::string> texts;
    std::vector<int8_t> verdicts;
    std::vector<int64_t> num_sentences;
};

Edits edit(const std::vector<std::string_view>& texts, const text::LineRules& rules, unsigned num_threads) {
    Edits edits{std::vector<std::string>(texts.size()), std::vector<int8_t>(texts.size()),
                std::vector<int64_t>(texts.size())};
    text::each_text<text::LineEditor>(texts, num_threads, [&](text::LineEditor& editor, size_t i) {
        edits.verdicts[i] = static_cast<int8_t>(editor.edit(texts[i], rules, edits.texts[i]));
        edits.num_sentences[i] = static_cast<int64_t>(editor.num_sentences());
    });
    return edits;
}

nb::tuple edit_lines(const View1<uint8_t>& data, const View1<int64_t>& offsets, unsigned num_threads,
                     const std::string& end_marks, size_t min_words, bool count_words_last, size_t max_word_length,
                     size_t min_sentences, bool removes_citations, bool removes_javascript, bool removes_policies,
                     bool drops_lorem_ipsum, bool drops_curly_brackets) {
    const auto texts = text_views(data, offsets);
    const text::LineRules rules{end_marks,         min_words,           count_words_last,   max_word_length,
                                min_sentences,     removes_citations,   removes_javascript, removes_policies,
                                drops_lorem_ipsum, drops_curly_brackets};
    Edits edits;
    std::vector<int64_t> new_offsets{0};
    std::vector<uint8_t> joined;
    {
        const nb::gil_scoped_release release;
        edits = edit(texts, rules, num_threads);
        for (const std::string& edited : edits.texts) {
            joined.insert(joined.end(), edited.begin(), edited.end());
            new_offsets.push_back(static_cast<int64_t>(joined.size()));
        }
    }
    return nb::make_tuple(to_array(std::move(joined)), to_array(std::move(new_offsets)),
                          to_array(std::move(edits.verdicts)), to_array(std::move(edits.num_sentences)));
}

auto has_phrase(const View1<uint8_t>& data, const View1<int64_t>& offsets, const View1<uint8_t>& phrase_data,
                const View1<int64_t>& phrase_offsets, unsigned num_threads) {
    const auto texts = text_views(data, offsets);
    const text::PhraseList phrases(text_views(phrase_data, phrase_offsets));
    std::vector<uint8_t> found(texts.size());
    {
        const nb::gil_scoped_release release;
        struct Nothing {};
        text::each_text<Nothing>(texts, num_threads, [&](Nothing&, size_t i) { found[i] = phrases.is_in(texts[i]); });
    }
    return to_array(std::move(found));
}

}  // namespace

void bind_line_edits(nb::module_& m) {
    m.def("edit_lines", &edit_lines, "data"_a, "offsets"_a, "num_threads"_a, nb::kw_only(), "end_marks"_a,
          "min_words"_a, "count_words_last"_a, "max_word_length"_a, "min_sentences"_a, "removes_citations"_a,
          "removes_javascript"_a, "removes_policies"_a, "drops_lorem_ipsum"_a, "drops_curly_brackets"_a,
          nb::sig("def edit_lines(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], "
                  "num_threads: int, *, end_marks: str, min_words: int, count_words_last: bool, max_word_length: int, "
                  "min_sentences: int, removes_citations: bool, removes_javascript: bool, removes_policies: bool, "
                  "drops_lorem_ipsum: bool, drops_curly_brackets: bool) -> tuple[numpy.typing.NDArray[numpy.uint8], "
                  "numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int8], "
                  "numpy.typing.NDArray[numpy.int64]]"),
          "C4's rules for lines. What is left of each text, as data and offsets (dropped ones are empty); why each is\n"
          "dropped, int8[num_texts] (-1 kept, 0 lorem ipsum, 1 a curly bracket, 2 too few sentences); and the\n"
          "sentences of the lines that stayed, int64[num_texts].");
    m.def("has_phrase", &has_phrase, "data"_a, "offsets"_a, "phrase_data"_a, "phrase_offsets"_a, "num_threads"_a,
          nb::sig("def has_phrase(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], "
                  "phrase_data: numpy.typing.NDArray[numpy.uint8], phrase_offsets: numpy.typing.NDArray[numpy.int64], "
                  "num_threads: int) -> numpy.typing.NDArray[numpy.uint8]"),
          "Whether one of the phrases stands in each text between characters that are not \\w; uint8[num_texts].");
}
