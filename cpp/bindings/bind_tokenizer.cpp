#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include <limits>
#include <stdexcept>

#include "bindings/arrays.h"
#include "bindings/text_views.h"
#include "bindings/texts.h"
#include "tokenizer/encode.h"
#include "tokenizer/ranks.h"

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
using tokenizer::Encoder;
using tokenizer::TokenId;

namespace {

// Releasing the GIL costs more than encoding less.
constexpr size_t kMostBytesUnderGil = 8192;

tokenizer::TokenTable copy_tokens(const nb::sequence& objects) {
    tokenizer::TokenTable tokens;
    for (const nb::handle object : objects) {
        if (!PyBytes_Check(object.ptr())) {
            throw nb::type_error("a token must be bytes");
        }
        tokens.push_back({PyBytes_AS_STRING(object.ptr()), static_cast<size_t>(PyBytes_GET_SIZE(object.ptr()))});
    }
    return tokens;
}

std::vector<tokenizer::Merge> copy_merges(const View2<uint32_t>& rows) {
    if (rows.shape(1) != 3) {
        throw std::invalid_argument("merges must be an array of n x 3, and this one is n x " +
                                    std::to_string(rows.shape(1)));
    }
    std::vector<tokenizer::Merge> merges(rows.shape(0));
    for (size_t i = 0; i < merges.size(); ++i) {
        const uint32_t* row = rows.data() + 3 * i;
        merges[i] = {row[0], row[1], row[2]};
    }
    return merges;
}

void make_encoder(Encoder* self, std::shared_ptr<const tokenizer::Splitter> splitter, const nb::sequence& token_objects,
                  const View2<uint32_t>& merge_rows, const View1<uint32_t>& special_ids, bool whole_pieces,
                  bool drops_bytes) {
    tokenizer::TokenTable tokens = copy_tokens(token_objects);
    const std::vector<tokenizer::Merge> merges = copy_merges(merge_rows);
    const nb::gil_scoped_release release;
    new (self) Encoder(std::move(splitter),
                       tokenizer::Vocab(std::move(tokens), merges, {special_ids.data(), special_ids.size()},
                                        whole_pieces, drops_bytes));
}

nb::list encode(const Encoder& self, nb::handle object) {
    const Text text(object);
    if (text.bytes().size() <= Encoder::kMaxShortText) {
        Encoder::ShortIds ids;
        return to_list(ids.data(), static_cast<size_t>(self.encode_short(text.bytes(), ids) - ids.data()));
    }
    tokenizer::TokenBuffer ids;
    if (text.bytes().size() <= kMostBytesUnderGil) {
        self.encode(text.bytes(), ids);
    } else {
        const nb::gil_scoped_release release;
        self.encode(text.bytes(), ids);
    }
    return to_list(ids.data(), ids.size());
}

size_t count(const Encoder& self, nb::handle object) {
    const Text text(object);
    if (text.bytes().size() <= kMostBytesUnderGil) {
        return self.count(text.bytes());
    }
    const nb::gil_scoped_release release;
    return self.count(text.bytes());
}

nb::tuple head(const Encoder& self, nb::handle object, size_t max_tokens) {
    const Text text(object);
    Encoder::Head head{};
    {
        const nb::gil_scoped_release release;
        head = self.head(text.bytes(), max_tokens);
    }
    return nb::make_tuple(head.num_bytes, head.num_tokens);
}

nb::tuple encode_batch(const Encoder& self, const nb::sequence& objects, unsigned num_threads) {
    const Texts texts(objects);
    tokenizer::EncodedBatch batch;
    {
        const nb::gil_scoped_release release;
        batch = self.encode_batch(texts.bytes(), num_threads);
    }
    return nb::make_tuple(to_array(std::move(batch.ids)), to_array(std::move(batch.offsets)));
}

template <typename Id>
nb::tuple encode_documents_as(const Encoder& self, std::span<const std::string_view> texts, TokenId end,
                              unsigned num_threads) {
    tokenizer::EncodedDocuments<Id> documents;
    {
        const nb::gil_scoped_release release;
        documents = self.encode_documents(texts, static_cast<Id>(end), num_threads);
    }
    return nb::make_tuple(to_array(std::move(documents.ids)), to_array(std::move(documents.lengths)));
}

nb::tuple encode_documents(const Encoder& self, const View1<uint8_t>& data, const View1<int64_t>& offsets, TokenId end,
                           unsigned num_threads) {
    if (end >= self.vocab().size()) {
        throw std::invalid_argument("the id that ends documents is " + std::to_string(end) +
                                    ", and the vocabulary has ids 0 to " + std::to_string(self.vocab().size() - 1));
    }
    const std::vector<std::string_view> texts = textmill::bindings::text_views(data, offsets);
    return self.vocab().size() <= size_t{std::numeric_limits<uint16_t>::max()} + 1
               ? encode_documents_as<uint16_t>(self, texts, end, num_threads)
               : encode_documents_as<uint32_t>(self, texts, end, num_threads);
}

nb::bytes decode(const Encoder& self, const View1<int64_t>& ids) {
    const tokenizer::Vocab& vocab = self.vocab();
    std::string bytes;
    {
        const nb::gil_scoped_release release;
        for (size_t i = 0; i < ids.size(); ++i) {
            const int64_t id = ids.data()[i];
            if (id < 0 || static_cast<uint64_t>(id) >= vocab.size() ||
                vocab.bytes_of(static_cast<TokenId>(id)).empty()) {
                throw std::invalid_argument("id " + std::to_string(id) + " at place " + std::to_string(i) +
                                            " is no token: the vocabulary has ids 0 to " +
                                            std::to_string(vocab.size() - 1));
            }
            bytes += vocab.bytes_of(static_cast<TokenId>(id));
        }
    }
    return nb::bytes(bytes.data(), bytes.size());
}

nb::tuple trace(const Encoder& self, nb::handle object) {
    const Text piece(object);
    auto [steps, ids] = self.trace(piece.bytes());
    std::vector<uint32_t> rows;
    rows.reserve(steps.size() * 5);
    for (const tokenizer::MergeStep& step : steps) {
        rows.insert(rows.end(), {step.at, step.left, step.right, step.product, step.rank});
    }
    return nb::make_tuple(to_table(std::move(rows), 5), to_array(std::move(ids)));
}

nb::list parse_ranks(const nb::bytes& file) {
    const tokenizer::TokenTable tokens = tokenizer::parse_ranks({file.c_str(), file.size()});
    nb::list objects;
    for (TokenId id = 0; id < tokens.size(); ++id) {
        objects.append(nb::bytes(tokens[id].data(), tokens[id].size()));
    }
    return objects;
}

nb::bytes missing_bytes(const Encoder& self) {
    std::string missing;
    for (unsigned byte = 0; byte < 256; ++byte) {
        if (self.vocab().byte_tokens()[byte] == tokenizer::kNoToken) {
            missing.push_back(static_cast<char>(byte));
        }
    }
    return nb::bytes(missing.data(), missing.size());
}

Array2<uint32_t> merges_from_ranks(const nb::sequence& token_objects) {
    const tokenizer::TokenTable tokens = copy_tokens(token_objects);
    std::vector<uint32_t> rows;
    {
        const nb::gil_scoped_release release;
        for (const tokenizer::Merge& merge : tokenizer::merges_from_ranks(tokens)) {
            rows.insert(rows.end(), {merge.left, merge.right, merge.product});
        }
    }
    return to_table(std::move(rows), 3);
}

}  // namespace

void bind_tokenizer(nb::module_& m) {
    nb::class_<Encoder>(
        m, "Encoder",
        "Text to token ids and back. It makes no special token from text. Immutable; any thread may use it.")
        .def("__init__", &make_encoder, "splitter"_a, "tokens"_a, "merges"_a, "special_ids"_a, "whole_pieces"_a = false,
             "drops_bytes"_a = false,
             nb::sig("def __init__(self, splitter: Splitter, tokens: collections.abc.Sequence[bytes], merges: "
                     "numpy.typing.NDArray[numpy.uint32], "
                     "special_ids: numpy.typing.NDArray[numpy.uint32], whole_pieces: bool = False, drops_bytes: bool = "
                     "False) -> None"),
             "tokens[id] is the bytes of a token, b'' for a hole; merges is (left, right, product) ids by rank,\n"
             "uint32[n, 3]; with whole_pieces, a piece that is a token is not merged; with drops_bytes, bytes without "
             "a token are\n"
             "left out of a text. ValueError where they do not fit.")
        .def("encode", &encode, "text"_a.none(), nb::sig("def encode(self, text: str | bytes) -> list[int]"),
             "Token ids of a text.")
        .def("encode_batch", &encode_batch, "texts"_a, "num_threads"_a = 0,
             nb::sig("def encode_batch(self, texts: collections.abc.Sequence[str | bytes], num_threads: int = 0) -> "
                     "tuple[numpy.typing.NDArray[numpy.uint32], numpy.typing.NDArray[numpy.int64]]"),
             "Ids of all texts one after the other, and where each text begins, int64[len(texts) + 1].")
        .def("encode_documents", &encode_documents, "data"_a, "offsets"_a, "end"_a, "num_threads"_a = 0,
             nb::sig("def encode_documents(self, data: numpy.typing.NDArray[numpy.uint8], offsets: "
                     "numpy.typing.NDArray[numpy.int64], end: int, num_threads: int = 0) -> "
                     "tuple[numpy.typing.NDArray[numpy.uint16] | numpy.typing.NDArray[numpy.uint32], "
                     "numpy.typing.NDArray[numpy.int64]]"),
             "Ids of texts that stand side by side, data[offsets[i]:offsets[i + 1]], end behind each, and how many ids "
             "each has with it; uint16 where the\nvocabulary has at most 65,536 ids. ValueError for an end that is no "
             "id.")
        .def("count", &count, "text"_a.none(), nb::sig("def count(self, text: str | bytes) -> int"),
             "The number of tokens of a text.")
        .def("head", &head, "text"_a.none(), "max_tokens"_a,
             nb::sig("def head(self, text: str | bytes, max_tokens: int) -> tuple[int, int]"),
             "The bytes of the first max_tokens tokens of a text, and how many tokens these are.")
        .def("decode", &decode, "ids"_a, nb::sig("def decode(self, ids: numpy.typing.NDArray[numpy.int64]) -> bytes"),
             "The bytes of tokens. ValueError for an id that is no token.")
        .def_prop_ro("missing_bytes", &missing_bytes, nb::sig("def missing_bytes(self) -> bytes"),
                     "The bytes that no token stands for, which are left out of a text.")
        .def("trace", &trace, "piece"_a,
             nb::sig("def trace(self, piece: str | bytes) -> tuple[numpy.typing.NDArray[numpy.uint32], "
                     "numpy.typing.NDArray[numpy.uint32]]"),
             "How one piece is merged: rows of (first byte, left, right, product, rank), uint32[n, 5], and its ids.");
    m.def("parse_ranks", &parse_ranks, "file"_a, nb::sig("def parse_ranks(file: bytes) -> list[bytes]"),
          "The tokens of a rank file by rank, b'' for ranks that it leaves out. ValueError names the line.");
    m.def(
        "merges_from_ranks", &merges_from_ranks, "tokens"_a,
        nb::sig("def merges_from_ranks(tokens: collections.abc.Sequence[bytes]) -> numpy.typing.NDArray[numpy.uint32]"),
        "The merges that a rank file means, (left, right, product), uint32[n, 3]; tokens[rank], b'' for a hole.");
}
