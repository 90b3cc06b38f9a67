#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>

#include "bindings/arrays.h"
#include "text/json_lines.h"

namespace nb = nanobind;
namespace text = textmill::text;
using namespace nb::literals;
using textmill::bindings::Array1;
using textmill::bindings::to_array;
using textmill::bindings::to_table;
using textmill::bindings::View1;

namespace {

// Values fill most of a buffer that is as large as the data, or little of it: then they are copied out.
Array1<uint8_t> to_bytes(text::FieldColumn& column, size_t capacity) {
    const auto num_bytes = static_cast<size_t>(column.offsets.back());
    if (num_bytes < capacity / 2) {
        return to_array(std::vector<uint8_t>(column.bytes.get(), column.bytes.get() + num_bytes));
    }
    char* const bytes = column.bytes.release();
    const nb::capsule owner(bytes, [](void* p) noexcept { delete[] static_cast<char*>(p); });
    return Array1<uint8_t>(reinterpret_cast<uint8_t*>(bytes), {num_bytes}, owner);
}

std::vector<text::FieldPath> to_paths(const std::vector<std::vector<nb::bytes>>& keys) {
    std::vector<text::FieldPath> paths;
    for (const std::vector<nb::bytes>& path : keys) {
        text::FieldPath& added = paths.emplace_back();
        for (const nb::bytes& key : path) {
            added.emplace_back(key.c_str(), key.size());
        }
    }
    return paths;
}

nb::tuple parse_json_lines(const View1<uint8_t>& data, const std::vector<std::vector<nb::bytes>>& fields,
                           size_t max_line_bytes, unsigned num_threads, size_t task_bytes) {
    const text::FieldTree tree(to_paths(fields));
    text::JsonLines parsed;
    {
        const nb::gil_scoped_release release;
        parsed = text::parse_json_lines({reinterpret_cast<const char*>(data.data()), data.size()}, tree, max_line_bytes,
                                        num_threads, task_bytes);
    }
    nb::list columns;
    for (text::FieldColumn& column : parsed.columns) {
        const Array1<uint8_t> bytes = to_bytes(column, data.size());
        columns.append(nb::make_tuple(bytes, to_array(std::move(column.offsets))));
    }
    std::vector<int64_t> refused;
    for (const text::RefusedLine& line : parsed.refused) {
        refused.insert(refused.end(), {line.line, line.begin, line.end});
    }
    return nb::make_tuple(columns, to_array(std::move(parsed.lines)), to_table(std::move(refused), 3),
                          parsed.num_lines);
}

}  // namespace

void bind_json_lines(nb::module_& m) {
    m.def(
        "parse_json_lines", &parse_json_lines, "data"_a, "fields"_a, "max_line_bytes"_a, "num_threads"_a = 1,
        "task_bytes"_a = text::kJsonTaskBytes,
        nb::sig("def parse_json_lines(data: numpy.typing.NDArray[numpy.uint8], fields: list[list[bytes]], "
                "max_line_bytes: int, num_threads: int = 1, task_bytes: int = 1048576) -> tuple[list[tuple["
                "numpy.typing.NDArray[numpy.uint8], numpy.typing.NDArray[numpy.int64]]], "
                "numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.int64], int]"),
        "The fields of lines of JSON, each named by its keys from the outermost object inwards; the first one is a "
        "record's text. Returns data and offsets of each field's values, the records' lines from 0, int64[lines, 3] of "
        "the lines that Python's json is to look at (number, begin, end), and how many lines there are.");
}
