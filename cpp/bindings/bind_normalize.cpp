#include <vector>

#include "bindings/arrays.h"
#include "bindings/texts.h"
#include "tokenizer/normalize.h"

namespace nb = nanobind;
namespace tokenizer = textmill::tokenizer;
using namespace nb::literals;
using textmill::bindings::Text;

namespace {

nb::bytes nfc(nb::handle object) {
    const Text text(object);
    if (tokenizer::nfc_prefix(text.bytes()) == text.bytes().size()) {
        if (PyBytes_Check(object.ptr())) {
            return nb::borrow<nb::bytes>(object);
        }
        return nb::bytes(text.bytes().data(), text.bytes().size());
    }
    std::string normalized;
    {
        const nb::gil_scoped_release release;
        normalized = tokenizer::to_nfc(text.bytes());
    }
    return nb::bytes(normalized.data(), normalized.size());
}

nb::tuple nfc_changes(nb::handle object) {
    const Text text(object);
    std::string normalized;
    std::vector<int64_t> rows;
    {
        const nb::gil_scoped_release release;
        std::vector<tokenizer::NormalizedChange> changes;
        normalized = tokenizer::to_nfc(text.bytes(), &changes);
        rows.reserve(4 * changes.size());
        for (const tokenizer::NormalizedChange& change : changes) {
            for (const size_t place : {change.to_begin, change.to_end, change.from_begin, change.from_end}) {
                rows.push_back(static_cast<int64_t>(place));
            }
        }
    }
    return nb::make_tuple(nb::bytes(normalized.data(), normalized.size()),
                          textmill::bindings::to_table(std::move(rows), 4));
}

}  // namespace

void bind_normalize(nb::module_& m) {
    m.def("nfc", &nfc, "text"_a, nb::sig("def nfc(text: str | bytes) -> bytes"),
          "A text in Unicode normalisation form C, as Hugging Face makes it; bytes that are not UTF-8 stay.");
    m.def("nfc_changes", &nfc_changes, "text"_a,
          nb::sig("def nfc_changes(text: str | bytes) -> tuple[bytes, numpy.typing.NDArray[numpy.int64]]"),
          "A text in NFC, and the stretches that changed: (begin, end) in the result and (begin, end) in the text,\n"
          "int64[n, 4], from left to right. What lies between them is the same in both.");
}
