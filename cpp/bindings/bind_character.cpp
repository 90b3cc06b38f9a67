#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <memory>
#include <stdexcept>

#include "bindings/arrays.h"
#include "bindings/texts.h"
#include "tokenizer/character_encode.h"

namespace nb = nanobind;
namespace tokenizer = textmill::tokenizer;
using namespace nb::literals;
using textmill::bindings::Array1;
using textmill::bindings::Array2;
using textmill::bindings::Text;
using textmill::bindings::Texts;
using textmill::bindings::to_array;
using textmill::bindings::to_list;
using textmill::bindings::to_table;
using textmill::bindings::View1;
using textmill::bindings::View2;
using tokenizer::CharacterEncoder;
using tokenizer::CharacterVocab;
using tokenizer::TokenId;

namespace {

void make_vocab(CharacterVocab* self, const nb::sequence& objects, const View1<uint8_t>& kinds,
                const View1<float>& scores, const View2<uint32_t>& rows, bool byte_fallback) {
    std::vector<std::string> pieces;
    for (const nb::handle object : objects) {
        pieces.emplace_back(Text(object).bytes());
    }
    if (rows.shape(1) != 3) {
        throw std::invalid_argument("merges must be an array of n x 3");
    }
    std::vector<tokenizer::PieceKind> piece_kinds;
    for (size_t i = 0; i < kinds.size(); ++i) {
        piece_kinds.push_back(static_cast<tokenizer::PieceKind>(kinds.data()[i]));
    }
    std::vector<tokenizer::Merge> merges;
    for (size_t i = 0; i < rows.shape(0); ++i) {
        const uint32_t* row = rows.data() + 3 * i;
        merges.push_back({row[0], row[1], row[2]});
    }
    const nb::gil_scoped_release release;
    new (self) CharacterVocab(std::move(pieces), std::move(piece_kinds), {scores.data(), scores.size()}, merges,
                              byte_fallback);
}

Array2<uint32_t> merges_of(const CharacterVocab& vocab) {
    std::vector<uint32_t> rows;
    for (const tokenizer::Merge& merge : vocab.merges()) {
        rows.insert(rows.end(), {merge.left, merge.right, merge.product});
    }
    return to_table(std::move(rows), 3);
}

void make_encoder(CharacterEncoder* self, std::shared_ptr<const CharacterVocab> vocab, uint8_t dummy_prefix,
                  bool dummy_suffix, bool remove_extra_spaces, bool escape_spaces, const nb::bytes& charsmap,
                  bool fuse_unknown, bool splits_words, bool whole_words) {
    if (dummy_prefix > 2) {
        throw std::invalid_argument("dummy_prefix is 0, 1 or 2");
    }
    new (self) CharacterEncoder(
        std::move(vocab),
        {static_cast<tokenizer::DummyPrefix>(dummy_prefix), dummy_suffix, remove_extra_spaces, escape_spaces},
        {charsmap.c_str(), charsmap.size()}, {fuse_unknown, splits_words, whole_words});
}

nb::list encode(const CharacterEncoder& self, nb::handle object) {
    const Text text(object);
    std::vector<TokenId> ids;
    {
        const nb::gil_scoped_release release;
        ids = self.encode(text.bytes());
    }
    return to_list(ids.data(), ids.size());
}

size_t count(const CharacterEncoder& self, nb::handle object) {
    const Text text(object);
    const nb::gil_scoped_release release;
    return self.encode(text.bytes()).size();
}

nb::tuple encode_with_spans(const CharacterEncoder& self, nb::handle object) {
    const Text text(object);
    tokenizer::SpannedTokens tokens;
    {
        const nb::gil_scoped_release release;
        tokens = self.encode_with_spans(text.bytes());
    }
    return nb::make_tuple(to_array(std::move(tokens.ids)), to_array(std::move(tokens.ends)));
}

nb::tuple encode_batch(const CharacterEncoder& self, const nb::sequence& objects, unsigned num_threads) {
    const Texts texts(objects);
    tokenizer::EncodedBatch batch;
    {
        const nb::gil_scoped_release release;
        batch = self.encode_batch(texts.bytes(), num_threads);
    }
    return nb::make_tuple(to_array(std::move(batch.ids)), to_array(std::move(batch.offsets)));
}

nb::tuple trace(const CharacterEncoder& self, nb::handle object) {
    const Text text(object);
    const tokenizer::CharacterTrace trace = self.trace(text.bytes());
    std::vector<int64_t> words;
    for (const tokenizer::Word& word : trace.encoded.words) {
        for (const size_t value : {word.end, word.num_steps, word.num_tokens}) {
            words.push_back(static_cast<int64_t>(value));
        }
    }
    std::vector<uint32_t> steps;
    for (const tokenizer::MergeStep& step : trace.encoded.steps) {
        steps.insert(steps.end(), {step.at, step.left, step.right, step.product, step.rank});
    }
    std::vector<uint32_t> ids = trace.encoded.ids;
    return nb::make_tuple(nb::bytes(trace.text.data(), trace.text.size()),
                          to_array(std::vector<int64_t>(trace.origins.begin(), trace.origins.end())),
                          to_table(std::move(words), 3), to_table(std::move(steps), 5), to_array(std::move(ids)),
                          to_array(std::vector<int64_t>(trace.encoded.ends.begin(), trace.encoded.ends.end())));
}

}  // namespace

void bind_character(nb::module_& m) {
    nb::class_<CharacterVocab>(m, "CharacterVocab", "Pieces of characters and how they merge. Immutable.")
        .def(
            "__init__", &make_vocab, "pieces"_a, "kinds"_a, "scores"_a, "merges"_a, "byte_fallback"_a,
            nb::sig("def __init__(self, pieces: collections.abc.Sequence[str], kinds: "
                    "numpy.typing.NDArray[numpy.uint8], scores: numpy.typing.NDArray[numpy.float32], merges: "
                    "numpy.typing.NDArray[numpy.uint32], byte_fallback: bool) -> None"),
            "kinds[id] is sentencepiece's number for the type of a piece, 0 for a hole. With scores, neighbours merge\n"
            "that are a piece together, the highest score first; with none, merges is (left, right, product) by rank,\n"
            "uint32[n, 3]. ValueError where they do not fit.")
        .def("merges", &merges_of, nb::sig("def merges(self) -> numpy.typing.NDArray[numpy.uint32]"),
             "All merges by rank, uint32[n, 3]; ids from the number of pieces on are characters without a piece.");
    nb::class_<CharacterEncoder>(
        m, "CharacterEncoder",
        "Text to token ids, by merging characters. It makes no control token from text. Immutable; any thread may use "
        "it.")
        .def("__init__", &make_encoder, "vocab"_a, "dummy_prefix"_a, "dummy_suffix"_a, "remove_extra_spaces"_a,
             "escape_spaces"_a, "charsmap"_a, "fuse_unknown"_a, "splits_words"_a, "whole_words"_a,
             "dummy_prefix: 0 never, 1 always, 2 unless the text begins with a space. ValueError for a damaged "
             "charsmap.")
        .def("encode", &encode, "text"_a, nb::sig("def encode(self, text: str | bytes) -> list[int]"),
             "Token ids of a text.")
        .def("encode_with_spans", &encode_with_spans, "text"_a,
             nb::sig("def encode_with_spans(self, text: str | bytes) -> tuple[numpy.typing.NDArray[numpy.uint32], "
                     "numpy.typing.NDArray[numpy.int64]]"),
             "Token ids of a text, and the byte of it where each ends.")
        .def("encode_batch", &encode_batch, "texts"_a, "num_threads"_a = 0,
             nb::sig("def encode_batch(self, texts: collections.abc.Sequence[str | bytes], num_threads: int = 0) -> "
                     "tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.int64]]"),
             "Ids of all texts one after the other, and where each text begins, int64[len(texts) + 1].")
        .def("count", &count, "text"_a, nb::sig("def count(self, text: str | bytes) -> int"),
             "The number of tokens of a text.")
        .def("trace", &trace, "text"_a,
             nb::sig("def trace(self, text: str | bytes) -> tuple[bytes, numpy.typing.NDArray[numpy.int64], "
                     "numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.uint32], "
                     "numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.int64]]"),
             "How a text is merged: the normalised text, and of each of its bytes and its end the place in the text,\n"
             "int64[k + 1]; words of (end, number of steps, number of tokens), int64[n, 3]; steps of (first byte, "
             "left,\n"
             "right, product, rank), uint32[m, 5]; ids, and where each token ends. Places are in the normalised text.");
}
