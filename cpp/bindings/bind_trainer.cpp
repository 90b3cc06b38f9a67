#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <algorithm>
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

using MergeRows = textmill::bindings::View2<uint32_t>;

constexpr size_t kMaxTokens = size_t{1} << 30;

void make_trainer(Trainer* self, std::shared_ptr<const tokenizer::Splitter> splitter, unsigned num_threads,
                  size_t memory_limit, const std::string& spill_folder) {
    new (self) Trainer(std::move(splitter), {num_threads, memory_limit, spill_folder});
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

// Checks that rows are merges of tokens that stand before them.
std::vector<tokenizer::Merge> to_merges(const MergeRows& rows, size_t num_tokens) {
    if (rows.shape(1) != 3) {
        throw std::invalid_argument("merges are rows of left, right and product");
    }
    std::vector<tokenizer::Merge> merges;
    merges.reserve(rows.shape(0));
    for (size_t i = 0; i < rows.shape(0); ++i) {
        if (std::max({rows(i, 0), rows(i, 1), rows(i, 2)}) >= num_tokens) {
            throw std::invalid_argument("merge " + std::to_string(i) + " has an id beyond the vocabulary");
        }
        merges.push_back({rows(i, 0), rows(i, 1), rows(i, 2)});
    }
    return merges;
}

nb::tuple learn_lesson(Trainer& self, const tokenizer::Lesson& lesson) {
    tokenizer::LearnedMerges learned;
    std::vector<uint32_t> rows;
    {
        const nb::gil_scoped_release release;
        learned = self.learn(lesson, raise_if_interrupted);
        rows.reserve(learned.merges.size() * 3);
        for (const tokenizer::Merge& merge : learned.merges) {
            rows.insert(rows.end(), {merge.left, merge.right, merge.product});
        }
    }
    return nb::make_tuple(to_table(std::move(rows), 3), to_array(std::move(learned.counts)));
}

nb::tuple learn(Trainer& self, size_t num_tokens, const nb::sequence& tokens, const MergeRows& merges,
                const MergeRows& seeds, const nb::sequence& never, bool whole_pieces, uint64_t min_frequency,
                size_t max_token_length) {
    const Texts texts(tokens);
    const Texts never_texts(never);
    if (texts.bytes().size() > kMaxTokens || num_tokens > kMaxTokens || seeds.shape(0) > kMaxTokens) {
        throw std::invalid_argument("a vocabulary of more than 2^30 tokens is not supported");
    }
    return learn_lesson(self, {.num_tokens = num_tokens,
                               .min_frequency = min_frequency,
                               .max_token_length = max_token_length,
                               .tokens = {texts.bytes().begin(), texts.bytes().end()},
                               .merges = to_merges(merges, texts.bytes().size()),
                               .whole_pieces = whole_pieces,
                               .seeds = to_merges(seeds, texts.bytes().size() + seeds.shape(0)),
                               .never = {never_texts.bytes().begin(), never_texts.bytes().end()}});
}

nb::bytes alphabet() {
    const std::array<uint8_t, 256> order = tokenizer::bytes_in_alphabet_order();
    return nb::bytes(order.data(), order.size());
}

}  // namespace

void bind_trainer(nb::module_& m) {
    nb::exception<tokenizer::MemoryLimitError>(m, "MemoryLimitError", PyExc_MemoryError);
    nb::exception<tokenizer::SpillError>(m, "SpillError", PyExc_OSError);
    m.def("alphabet", &alphabet, "The 256 bytes in the order in which they get their token ids.");
    nb::class_<Trainer>(m, "Trainer", "Learns the merges of a vocabulary, once. One thread at a time may use it.")
        .def("__init__", &make_trainer, "splitter"_a, "num_threads"_a = 0, "memory_limit"_a = 0,
             "spill_folder"_a = "/tmp",
             nb::sig("def __init__(self, splitter: Splitter, num_threads: int = 0, memory_limit: int = 0, "
                     "spill_folder: str = '/tmp') -> None"),
             "Zero threads are one for each core; memory_limit is in bytes, 0 for none; over it, words go to files\n"
             "without a name in spill_folder.")
        .def("add", &add, "texts"_a, nb::sig("def add(self, texts: collections.abc.Sequence[str | bytes]) -> None"),
             "Count the pieces of texts, each split by itself. MemoryLimitError, SpillError.")
        .def(
            "learn", &learn, "num_tokens"_a, "tokens"_a, "merges"_a, "seeds"_a, "never"_a = nb::make_tuple(),
            "whole_pieces"_a = false, "min_frequency"_a = 1, "max_token_length"_a = 0,
            nb::sig("def learn(self, num_tokens: int, tokens: collections.abc.Sequence[bytes], "
                    "merges: numpy.typing.NDArray[numpy.uint32], seeds: numpy.typing.NDArray[numpy.uint32], "
                    "never: collections.abc.Sequence[bytes] = (), whole_pieces: bool = False, "
                    "min_frequency: int = 1, max_token_length: int = 0) -> "
                    "tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.uint64]]"),
            "Learn merges on top of a vocabulary: its tokens by id (b\"\" where no text becomes it) and merges. Seeds\n"
            "are merges to make first, their products counted on from the last token; no other merge makes what is in\n"
            "never. Returns (left, right, product) by rank, uint32[n, 3], and how often each pair stood in the text,\n"
            "uint64[n].")
        .def_prop_ro("num_bytes", &Trainer::num_bytes, "Bytes of text seen.")
        .def_prop_ro("num_pieces", &Trainer::num_pieces, "Pieces seen.")
        .def_prop_ro("num_words", &Trainer::num_words, "Different pieces seen; known after learning.")
        .def_prop_ro("num_ties", &Trainer::num_ties, "Merges where another pair stood as often.")
        .def_prop_ro(
            "token_counts", [](const Trainer& self) { return to_array(self.token_counts()); }, nb::rv_policy::move,
            "uint64[num_tokens]: how often each token stands in the text after all merges.")
        .def_prop_ro("num_spilled_runs", &Trainer::num_spilled_runs, "How often words went to disk.")
        .def_prop_ro("num_spilled_bytes", &Trainer::num_spilled_bytes, "Bytes of the words that went to disk.");
}
