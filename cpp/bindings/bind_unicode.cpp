#include <nanobind/stl/string.h>

#include <stdexcept>

#include "bindings/arrays.h"
#include "tokenizer/case_folding.h"
#include "tokenizer/unicode.h"

namespace nb = nanobind;
namespace tokenizer = textmill::tokenizer;
using namespace nb::literals;

namespace {

auto unicode_ranges(const std::string& name) {
    std::vector<uint32_t> rows;
    for (const tokenizer::CodePointRange& range : tokenizer::property_ranges(name)) {
        rows.insert(rows.end(), {range.first, range.last});
    }
    if (rows.empty()) {
        throw std::invalid_argument("there is no property of characters \"" + name +
                                    "\": a general category (Lu, L), a script (Han), whitespace or word");
    }
    return textmill::bindings::to_table(std::move(rows), 2);
}

auto case_pairs() {
    std::vector<uint32_t> rows;
    for (const auto& [code_point, next] : tokenizer::case_pairs()) {
        rows.insert(rows.end(), {code_point, next});
    }
    return textmill::bindings::to_table(std::move(rows), 2);
}

}  // namespace

void bind_unicode(nb::module_& m) {
    m.attr("UNICODE_VERSION") = tokenizer::unicode_version();
    m.def("unicode_ranges", &unicode_ranges, "name"_a,
          nb::sig("def unicode_ranges(name: str) -> numpy.typing.NDArray[numpy.uint32]"),
          "First and last code points of the ranges of a property: a general category or a group of them (Lu, L),\n"
          "a script (Han), whitespace or word (\\w): uint32[n, 2]. ValueError where there is none of that name.");
    m.def("case_pairs", &case_pairs, nb::sig("def case_pairs() -> numpy.typing.NDArray[numpy.uint32]"),
          "Each character that equals others where case is ignored, and the next one of these, the last followed by\n"
          "the first: uint32[n, 2], ascending. One character for one: the sharp s does not equal \"ss\".");
}
