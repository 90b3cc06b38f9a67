#include <nanobind/stl/vector.h>

#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "text/checked_files.h"
#include "text/token_stream.h"

namespace nb = nanobind;
using namespace nb::literals;
using textmill::bindings::Array1;
using textmill::bindings::to_array;
using textmill::bindings::to_table;
using textmill::bindings::View1;
using textmill::text::CheckedFiles;
using textmill::text::DamagedBlock;
using textmill::text::RowPlan;
using textmill::text::TokenRows;
using textmill::text::TokenStream;

namespace {

nb::object to_object(const std::optional<DamagedBlock>& damage) {
    return damage ? nb::object(nb::make_tuple(damage->file, damage->block)) : nb::none();
}

template <typename T>
std::span<const T> to_span(const View1<T>& array) {
    return {array.data(), array.size()};
}

// Keeps the arrays, whose bytes may be mapped files, for as long as it lives.
class Files {
  public:
    Files(std::vector<View1<uint8_t>> files, std::vector<View1<uint64_t>> checksums, size_t block_bytes)
        : files_(std::move(files)), checksums_(std::move(checksums)) {
        std::vector<std::span<const uint8_t>> bytes;
        std::vector<std::span<const uint64_t>> sums;
        for (const auto& file : files_) {
            bytes.push_back(to_span(file));
        }
        for (const auto& file : checksums_) {
            sums.push_back(to_span(file));
        }
        checked_ = std::make_unique<CheckedFiles>(std::move(bytes), std::move(sums), block_bytes);
    }

    CheckedFiles& checked() { return *checked_; }

    nb::object check(size_t file, const View1<int64_t>& begins, const View1<int64_t>& ends) {
        if (begins.size() != ends.size()) {
            throw std::invalid_argument("begins and ends must be as many");
        }
        std::optional<DamagedBlock> damage;
        {
            const nb::gil_scoped_release release;
            for (size_t i = 0; i < begins.size() && begins.size() > 1 && checked_->may_wait(); ++i) {
                checked_->expect(file, static_cast<size_t>(begins.data()[i]), static_cast<size_t>(ends.data()[i]));
            }
            for (size_t i = 0; i < begins.size() && !damage; ++i) {
                damage =
                    checked_->check(file, static_cast<size_t>(begins.data()[i]), static_cast<size_t>(ends.data()[i]));
            }
        }
        return to_object(damage);
    }

  private:
    std::vector<View1<uint8_t>> files_;
    std::vector<View1<uint64_t>> checksums_;
    std::unique_ptr<CheckedFiles> checked_;
};

nb::tuple copy_tokens(TokenStream& stream, int64_t start, int64_t stop) {
    if (start < 0 || stop < start || stop > stream.num_tokens()) {
        throw std::out_of_range("the stream has " + std::to_string(stream.num_tokens()) + " tokens, and not " +
                                std::to_string(start) + " to " + std::to_string(stop));
    }
    std::vector<int64_t> tokens(static_cast<size_t>(stop - start));
    std::optional<DamagedBlock> damage;
    {
        const nb::gil_scoped_release release;
        damage = stream.copy(start, stop - start, tokens.data());
    }
    return nb::make_tuple(to_array(std::move(tokens)), to_object(damage));
}

nb::tuple gather(TokenStream& stream, const View1<int64_t>& row_segments, const View1<int64_t>& segment_spans,
                 const View1<int64_t>& segment_firsts, const View1<int64_t>& span_places,
                 const View1<int64_t>& span_lengths, int64_t context, int64_t padding, bool with_segments) {
    if (context < 1) {
        throw std::invalid_argument("a row is 1 token long or more");
    }
    const RowPlan plan{to_span(row_segments), to_span(segment_spans), to_span(segment_firsts), to_span(span_places),
                       to_span(span_lengths)};
    TokenRows rows;
    std::optional<DamagedBlock> damage;
    {
        const nb::gil_scoped_release release;
        damage = stream.gather(plan, context, padding, with_segments, rows);
    }
    const auto width = static_cast<size_t>(context);
    return nb::make_tuple(to_table(std::move(rows.inputs), width), to_table(std::move(rows.targets), width),
                          to_table(std::move(rows.positions), width), to_table(std::move(rows.segments), width),
                          to_object(damage));
}

}  // namespace

void bind_checked_files(nb::module_& m) {
    nb::class_<Files>(m, "CheckedFiles", "Files in memory or mapped, whose blocks are checked when first touched.")
        .def(
            nb::init<std::vector<View1<uint8_t>>, std::vector<View1<uint64_t>>, size_t>(), "files"_a, "checksums"_a,
            "block_bytes"_a,
            nb::sig("def __init__(self, files: collections.abc.Sequence[numpy.typing.NDArray[numpy.uint8]], checksums: "
                    "collections.abc.Sequence[numpy.typing.NDArray[numpy.uint64]], block_bytes: int) -> None"))
        .def("check", &Files::check, "file"_a, "begins"_a, "ends"_a,
             nb::sig("def check(self, file: int, begins: numpy.typing.NDArray[numpy.int64], ends: "
                     "numpy.typing.NDArray[numpy.int64]) -> tuple[int, int] | None"),
             "File and number of the first damaged block of those that hold the bytes [begin, end) of a file.");
    nb::class_<TokenStream>(m, "TokenStream", "The tokens of files as one stream.")
        .def(
            "__init__",
            [](TokenStream* self, Files& files, size_t token_bytes) {
                new (self) TokenStream(files.checked(), token_bytes);
            },
            "files"_a, "token_bytes"_a, nb::keep_alive<1, 2>(),
            nb::sig("def __init__(self, files: CheckedFiles, token_bytes: int) -> None"))
        .def("tokens", &copy_tokens, "start"_a, "stop"_a,
             nb::sig("def tokens(self, start: int, stop: int) -> tuple[numpy.typing.NDArray[numpy.int64], "
                     "tuple[int, int] | None]"),
             "The tokens [start, stop), and the first damaged block, which makes them worthless.")
        .def("gather", &gather, "row_segments"_a, "segment_spans"_a, "segment_firsts"_a, "span_places"_a,
             "span_lengths"_a, "context"_a, "padding"_a, "with_segments"_a,
             nb::sig("def gather(self, row_segments: numpy.typing.NDArray[numpy.int64], segment_spans: "
                     "numpy.typing.NDArray[numpy.int64], segment_firsts: numpy.typing.NDArray[numpy.int64], "
                     "span_places: numpy.typing.NDArray[numpy.int64], span_lengths: numpy.typing.NDArray[numpy.int64], "
                     "context: int, padding: int, with_segments: bool) -> tuple[numpy.typing.NDArray[numpy.int64], "
                     "numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int32], "
                     "numpy.typing.NDArray[numpy.int32], tuple[int, int] | None]"),
             "Inputs, targets, positions and segments, each [rows, context], and the first damaged block.");
}
