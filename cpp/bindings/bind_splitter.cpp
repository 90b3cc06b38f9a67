#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "bindings/arrays.h"
#include "bindings/texts.h"
#include "tokenizer/scanner.h"

namespace nb = nanobind;
namespace tokenizer = textmill::tokenizer;
using namespace nb::literals;
using tokenizer::Piece;
using tokenizer::Splitter;

namespace {

// Calls Python to split; from any thread. What Python raises goes through the C++ code to the caller.
struct PythonSplit {
    mutable nb::object split;  // None once the garbage collector has broken a cycle through it

    void operator()(std::string_view text, std::vector<Piece>& pieces) const {
        const nb::gil_scoped_acquire acquire;
        size_t begin = 0;
        for (const nb::handle item : split(nb::bytes(text.data(), text.size()))) {
            const auto [end, alternative] = nb::cast<std::pair<size_t, uint16_t>>(item);
            if (end <= begin || end > text.size()) {
                throw std::invalid_argument("a piece from byte " + std::to_string(begin) + " to " +
                                            std::to_string(end) + " of " + std::to_string(text.size()));
            }
            pieces.push_back({begin, end, alternative});
            begin = end;
        }
        if (begin != text.size()) {
            throw std::invalid_argument("the pieces end at byte " + std::to_string(begin) + " of " +
                                        std::to_string(text.size()));
        }
    }
};

const PythonSplit* python_split_of(PyObject* self) {
    return nb::inst_ready(self) ? nb::inst_ptr<Splitter>(self)->function().target<PythonSplit>() : nullptr;
}

// A function refers to its module, and a cache there to the splitter: a cycle that Python can only see through these.
int traverse(PyObject* self, visitproc visit, void* arg) {
    Py_VISIT(Py_TYPE(self));
    if (const PythonSplit* const held = python_split_of(self)) {
        Py_VISIT(held->split.ptr());
    }
    return 0;
}

int clear(PyObject* self) {
    if (const PythonSplit* const held = python_split_of(self)) {
        held->split = nb::none();
    }
    return 0;
}

PyType_Slot kCollectorSlots[] = {
    {Py_tp_traverse, reinterpret_cast<void*>(&traverse)}, {Py_tp_clear, reinterpret_cast<void*>(&clear)}, {0, nullptr}};

void make_splitter(Splitter* self, std::vector<std::string> stage_regexes, const nb::object& function) {
    if (function.is_none()) {
        const nb::gil_scoped_release release;
        new (self) Splitter(std::move(stage_regexes));
    } else {
        new (self) Splitter(std::move(stage_regexes), PythonSplit{nb::cast<nb::callable>(function)});
    }
}

nb::tuple split(const Splitter& splitter, nb::handle object) {
    const textmill::bindings::Text text(object);
    std::vector<int64_t> ends;
    std::vector<uint16_t> alternatives;
    {
        const nb::gil_scoped_release release;
        tokenizer::Scanner scanner(splitter, text.bytes());
        Piece piece{};
        while (scanner.next(piece)) {
            ends.push_back(static_cast<int64_t>(piece.end));
            alternatives.push_back(piece.alternative);
        }
    }
    return nb::make_tuple(textmill::bindings::to_array(std::move(ends)),
                          textmill::bindings::to_array(std::move(alternatives)));
}

size_t last_cut(const std::vector<const Splitter*>& splitters, nb::handle object, bool ascii_only) {
    const textmill::bindings::Text text(object);
    std::vector<const tokenizer::SafeCuts*> patterns;
    for (const Splitter* const splitter : splitters) {
        patterns.push_back(&splitter->safe_cuts());
    }
    const nb::gil_scoped_release release;
    return tokenizer::last_safe_cut(patterns, text.bytes(), ascii_only);
}

}  // namespace

void bind_splitter(nb::module_& m) {
    m.attr("GAP") = tokenizer::kNoAlternative;
    nb::class_<Splitter>(m, "Splitter", nb::type_slots(kCollectorSlots),
                         "A compiled pattern. Immutable; any thread may use it.")
        .def(
            "__init__", &make_splitter, "stage_regexes"_a, "function"_a = nb::none(),
            nb::sig("def __init__(self, stage_regexes: collections.abc.Sequence[str], function: "
                    "collections.abc.Callable[[bytes], collections.abc.Iterable[tuple[int, int]]] | None = None) -> "
                    "None"),
            "Each regex splits the pieces of the one before. ValueError names what the automaton cannot match; then a\n"
            "function that takes a text and gives the end and the alternative of each piece can split instead.");
    m.def(
        "last_cut", &last_cut, "splitters"_a, "text"_a, "ascii_only"_a = false,
        nb::sig("def last_cut(splitters: collections.abc.Sequence[Splitter], text: bytes, ascii_only: bool = False) "
                "-> int"),
        "The last place inside a text where it can be cut so that no piece of any of the splitters changes, whatever\n"
        "stands around the text; 0 where there is none. ascii_only: only between two ASCII characters.");
    m.def("split", &split, "splitter"_a, "text"_a,
          nb::sig("def split(splitter: Splitter, text: str | bytes) -> "
                  "tuple[numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.uint16]]"),
          "Split a text into pieces: the end of each in bytes, int64[n], and the alternative that matched, uint16[n],\n"
          "counted over all stages; GAP for text that none did.");
}
