#include <stdexcept>

#include "bindings/arrays.h"
#include "bindings/texts.h"
#include "tokenizer/added_tokens.h"

namespace nb = nanobind;
namespace tokenizer = textmill::tokenizer;
using namespace nb::literals;
using textmill::bindings::Array2;
using textmill::bindings::Text;
using textmill::bindings::Texts;
using textmill::bindings::View2;
using tokenizer::AddedTokens;

namespace {

void make_added_tokens(AddedTokens* self, const nb::sequence& objects, const View2<uint32_t>& rows) {
    const Texts texts(objects);
    if (rows.shape(0) != texts.bytes().size() || rows.shape(1) != 4) {
        throw std::invalid_argument("each of " + std::to_string(texts.bytes().size()) +
                                    " added tokens needs a row of 4 numbers, and there are " +
                                    std::to_string(rows.shape(0)) + " rows of " + std::to_string(rows.shape(1)));
    }
    std::vector<tokenizer::AddedToken> tokens;
    for (size_t i = 0; i < rows.shape(0); ++i) {
        const uint32_t* row = rows.data() + 4 * i;
        tokens.push_back({row[0], row[1] != 0, row[2] != 0, row[3] != 0});
    }
    const nb::gil_scoped_release release;
    new (self) AddedTokens(texts.bytes(), std::move(tokens));
}

Array2<int64_t> split(const AddedTokens& self, nb::handle object) {
    const Text text(object);
    std::vector<int64_t> rows;
    {
        const nb::gil_scoped_release release;
        const std::vector<AddedTokens::Part> parts = self.split(text.bytes());
        rows.reserve(3 * parts.size());
        for (const AddedTokens::Part& part : parts) {
            rows.insert(rows.end(), {static_cast<int64_t>(part.begin), static_cast<int64_t>(part.end), part.id});
        }
    }
    return textmill::bindings::to_table(std::move(rows), 3);
}

}  // namespace

void bind_added_tokens(nb::module_& m) {
    nb::class_<AddedTokens>(m, "AddedTokens",
                            "Finds the texts of added tokens in a text. Immutable; any thread may use it.")
        .def("__init__", &make_added_tokens, "texts"_a, "tokens"_a,
             nb::sig("def __init__(self, texts: collections.abc.Sequence[bytes], tokens: "
                     "numpy.typing.NDArray[numpy.uint32]) -> None"),
             "tokens is (id, single_word, lstrip, rstrip) of each text, the last three 0 or 1: uint32[n, 4].\n"
             "ValueError for a text that is empty, double or longer than 65,536 bytes, or 64 MB of texts.")
        .def("split", &split, "text"_a,
             nb::sig("def split(self, text: str | bytes) -> numpy.typing.NDArray[numpy.int64]"),
             "The parts of a text, (begin, end, id), int64[n, 3]: bytes, and the id -1 for what is no added token.");
}
