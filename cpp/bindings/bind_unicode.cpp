#include <nanobind/stl/string.h>

#include <stdexcept>

#include "bindings/arrays.h"
#include "bindings/texts.h"
#include "tokenizer/scanner.h"
#include "tokenizer/unicode.h"

namespace nb = nanobind;
namespace tokenizer = textmill::tokenizer;
using namespace nb::literals;

namespace {

tokenizer::CharClass class_named(const std::string& name) {
    if (name == "letter") {
        return tokenizer::CharClass::kLetter;
    }
    if (name == "number") {
        return tokenizer::CharClass::kNumber;
    }
    if (name == "whitespace") {
        return tokenizer::CharClass::kWhitespace;
    }
    throw std::invalid_argument("there is no class of characters \"" + name + "\": letter, number or whitespace");
}

auto unicode_ranges(const std::string& name) {
    std::vector<uint32_t> rows;
    for (const tokenizer::ClassRange& range : tokenizer::class_ranges(class_named(name))) {
        rows.insert(rows.end(), {range.first, range.last});
    }
    return textmill::bindings::to_table(std::move(rows), 2);
}

auto split(const std::string& pattern_name, nb::handle object) {
    const auto pattern = tokenizer::pattern_named(pattern_name);
    if (!pattern) {
        throw std::invalid_argument("unknown pattern \"" + pattern_name + "\"");
    }
    const textmill::bindings::Text text(object);
    std::vector<int64_t> ends;
    std::vector<uint8_t> alternatives;
    {
        const nb::gil_scoped_release release;
        tokenizer::Scanner scanner(*pattern, text.bytes());
        tokenizer::Piece piece{};
        while (scanner.next(piece)) {
            ends.push_back(static_cast<int64_t>(piece.end));
            alternatives.push_back(static_cast<uint8_t>(piece.alternative));
        }
    }
    return nb::make_tuple(textmill::bindings::to_array(std::move(ends)),
                          textmill::bindings::to_array(std::move(alternatives)));
}

}  // namespace

void bind_unicode(nb::module_& m) {
    m.attr("UNICODE_VERSION") = tokenizer::unicode_version();
    m.def("unicode_ranges", &unicode_ranges, "name"_a,
          nb::sig("def unicode_ranges(name: str) -> numpy.typing.NDArray[numpy.uint32]"),
          "First and last code points of the ranges of a class (letter, number, whitespace): uint32[n, 2].");
    m.def("split", &split, "pattern"_a, "text"_a,
          nb::sig("def split(pattern: str, text: str | bytes) -> "
                  "tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.uint8]]"),
          "Split a text into pieces: the end of each in bytes, int64[n], and the alternative that matched, uint8[n].");
}
