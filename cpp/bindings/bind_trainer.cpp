#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <stdexcept>

#include "bindings/arrays.h"
#include "bindings/texts.h"
#include "tokenizer/train.h"

namespace nb = nanobind;
namespace tokenizer = textmill::tokenizer;
using namespace nb::literals;
using textmill::bindings::Texts;
using textmill::bindings::to_array;
using textmill::bindings::to_table;
using tokenizer::Trainer;

namespace {

void make_trainer(Trainer* self, std::shared_ptr<const tokenizer::Splitter> splitter, unsigned num_threads,
                  size_t memory_limit) {
    new (self) Trainer(std::move(splitter), num_threads, memory_limit);
}

void add(Trainer& self, const nb::sequence& objects) {
    const Texts texts(objects);
    const nb::gil_scoped_release release;
    self.add(texts.bytes());
}

void raise_if_interrupted() {
    const nb::gil_scoped_acquire acquire;
    if (PyErr_CheckSignals() != 0) {
        throw nb::python_error();
    }
}

nb::tuple learn(const Trainer& self, size_t num_merges, uint32_t first_id) {
    if (first_id > (uint32_t{1} << 30) || num_merges > (size_t{1} << 30)) {
        throw std::invalid_argument("a vocabulary of more than 2^30 tokens is not supported");
    }
    tokenizer::LearnedMerges learned;
    std::vector<uint32_t> rows;
    {
        const nb::gil_scoped_release release;
        learned = self.learn(num_merges, first_id, raise_if_interrupted);
        rows.reserve(learned.merges.size() * 3);
        for (const tokenizer::Merge& merge : learned.merges) {
            rows.insert(rows.end(), {merge.left, merge.right, merge.product});
        }
    }
    return nb::make_tuple(to_table(std::move(rows), 3), to_array(std::move(learned.counts)));
}

nb::bytes alphabet() {
    const std::array<uint8_t, 256> order = tokenizer::bytes_in_alphabet_order();
    return nb::bytes(order.data(), order.size());
}

}  // namespace

void bind_trainer(nb::module_& m) {
    nb::exception<tokenizer::MemoryLimitError>(m, "MemoryLimitError", PyExc_MemoryError);
    m.def("alphabet", &alphabet, "The 256 bytes in the order in which they get their token ids.");
    nb::class_<Trainer>(m, "Trainer", "Learns the merges of a vocabulary. One thread at a time may use it.")
        .def("__init__", &make_trainer, "splitter"_a, "num_threads"_a = 0, "memory_limit"_a = 0,
             nb::sig("def __init__(self, splitter: Splitter, num_threads: int = 0, memory_limit: int = 0) -> None"),
             "Zero threads are one for each core; memory_limit is in bytes, 0 for none.")
        .def("add", &add, "texts"_a, nb::sig("def add(self, texts: collections.abc.Sequence[str | bytes]) -> None"),
             "Count the pieces of texts, each split by itself. MemoryLimitError over the limit.")
        .def("learn", &learn, "num_merges"_a, "first_id"_a,
             nb::sig("def learn(self, num_merges: int, first_id: int) -> "
                     "tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.uint64]]"),
             "Learn merges: (left, right, product) by rank, uint32[n, 3], and how often each pair stood in the text,\n"
             "uint64[n]. The bytes have the ids from first_id on.")
        .def_prop_ro("num_bytes", &Trainer::num_bytes, "Bytes of text seen.")
        .def_prop_ro("num_pieces", &Trainer::num_pieces, "Pieces seen.")
        .def_prop_ro("num_words", &Trainer::num_words, "Different pieces seen.");
}
