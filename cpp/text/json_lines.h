// Lines of JSON to the texts of their fields, side by side in one buffer a field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "text/field_tree.h"

namespace textmill::text {

// The values of one field: value i is bytes[offsets[i]] to bytes[offsets[i + 1]].
struct FieldColumn {
    std::unique_ptr<char[]> bytes;
    std::vector<int64_t> offsets{0};
};

// A line that somebody else is to look at: its number, from 0, and where it stands, its line end left out.
struct RefusedLine {
    int64_t line;
    int64_t begin;
    int64_t end;
};

struct JsonLines {
    std::vector<FieldColumn> columns;  // one for each field
    std::vector<int64_t> lines;        // the number of each record's line, from 0
    std::vector<RefusedLine> refused;
    int64_t num_lines = 0;  // records, refused lines and blank ones
};

constexpr size_t kJsonTaskBytes = size_t{1} << 20;

// Reads lines of JSON. The first field is a record's text: a string that must be there. The others may be missing or
// null, which makes them empty, or numbers, which stay as they are written. A line is refused where json.loads of
// Python would not take it, or where that would take much to tell: a key that is there twice or is escaped, NaN, half
// of a surrogate pair in a field, numbers of more than 256 bytes, 64 levels. The result does not depend on the number
// of threads, nor on `task_bytes`, the least that one takes at a time.
JsonLines parse_json_lines(std::string_view data, const FieldTree& fields, size_t max_line_bytes, unsigned num_threads,
                           size_t task_bytes = kJsonTaskBytes);

}  // namespace textmill::text
