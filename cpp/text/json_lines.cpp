#include "text/json_lines.h"

#include <algorithm>
#include <cstring>

#include "text/json_record.h"
#include "tokenizer/parallel.h"

namespace textmill::text {
namespace {

// Lines that one thread reads. Values are written into the columns where the lines themselves stand in the data: no
// value is longer than what it is written as. `lengths` has the values of all fields of a record after one another.
struct LineRange {
    std::string_view lines;
    size_t begin;  // in the data
    std::vector<size_t> lengths;
    std::vector<int64_t> records;
    std::vector<RefusedLine> refused;
    int64_t num_lines = 0;
};

std::vector<LineRange> cut_at_line_ends(std::string_view data, size_t task_bytes) {
    std::vector<LineRange> ranges;
    for (size_t begin = 0; begin < data.size();) {
        const size_t least = begin + std::max<size_t>(task_bytes, 1) - 1;
        const size_t line_end = least < data.size() ? data.find('\n', least) : std::string_view::npos;
        const size_t end = line_end == std::string_view::npos ? data.size() : line_end + 1;
        ranges.push_back({data.substr(begin, end - begin), begin, {}, {}, {}});
        begin = end;
    }
    return ranges;
}

void read_range(LineRange& range, const FieldTree& fields, size_t max_line_bytes,
                std::span<const FieldColumn> columns) {
    std::vector<char*> outputs;
    for (const FieldColumn& column : columns) {
        outputs.push_back(column.bytes.get() + range.begin);
    }
    std::vector<size_t> lengths(columns.size());
    JsonRecordReader reader(fields, range.lines, outputs, lengths);
    for (; !reader.is_at_end(); ++range.num_lines) {
        const auto begin = static_cast<size_t>(reader.position() - range.lines.data());
        const LineKind kind = reader.read_line();
        auto end = static_cast<size_t>(reader.position() - range.lines.data());
        end -= range.lines[end - 1] == '\n';
        if (kind == LineKind::kRefused || end - begin > max_line_bytes) {
            range.refused.push_back(
                {range.num_lines, static_cast<int64_t>(range.begin + begin), static_cast<int64_t>(range.begin + end)});
        } else if (kind == LineKind::kRecord) {
            range.records.push_back(range.num_lines);
            range.lengths.insert(range.lengths.end(), lengths.begin(), lengths.end());
            for (size_t field = 0; field < outputs.size(); ++field) {
                outputs[field] += lengths[field];
            }
        }
    }
}

// Moves what a range has written to the end of what is there, and counts its lines on from there.
void append(JsonLines& all, const LineRange& range) {
    const size_t num_fields = all.columns.size();
    for (size_t field = 0; field < num_fields; ++field) {
        FieldColumn& column = all.columns[field];
        const int64_t begin = column.offsets.back();
        int64_t end = begin;
        for (size_t i = field; i < range.lengths.size(); i += num_fields) {
            end += static_cast<int64_t>(range.lengths[i]);
            column.offsets.push_back(end);
        }
        std::memmove(column.bytes.get() + begin, column.bytes.get() + range.begin, static_cast<size_t>(end - begin));
    }
    for (const int64_t line : range.records) {
        all.lines.push_back(all.num_lines + line);
    }
    for (const RefusedLine& line : range.refused) {
        all.refused.push_back({all.num_lines + line.line, line.begin, line.end});
    }
    all.num_lines += range.num_lines;
}

}  // namespace

JsonLines parse_json_lines(std::string_view data, const FieldTree& fields, size_t max_line_bytes, unsigned num_threads,
                           size_t task_bytes) {
    JsonLines all;
    all.columns.resize(fields.num_fields());
    for (FieldColumn& column : all.columns) {
        column.bytes = std::make_unique_for_overwrite<char[]>(data.size());
    }
    std::vector<LineRange> ranges = cut_at_line_ends(data, task_bytes);
    const unsigned num_used = tokenizer::threads_for(num_threads, ranges.size());
    tokenizer::run_tasks(ranges.size(), num_used,
                         [&](size_t i, unsigned) { read_range(ranges[i], fields, max_line_bytes, all.columns); });
    for (const LineRange& range : ranges) {
        append(all, range);
    }
    return all;
}

}  // namespace textmill::text
