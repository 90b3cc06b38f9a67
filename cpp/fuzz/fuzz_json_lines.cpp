// Lines of JSON: any bytes are read or refused, the same by threads and small tasks; no line is lost; and a text that
// was read is read again from its plainest JSON.
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzz_input.h"
#include "text/json_lines.h"

namespace {

using namespace textmill::text;
using textmill::fuzz::FuzzInput;

constexpr size_t kMaxLineBytes = 256;

const FieldTree& fields() {
    static const FieldTree tree(std::vector<FieldPath>{{"text"}, {"id"}, {"meta", "url"}});
    return tree;
}

std::vector<std::string> values(const FieldColumn& column) {
    std::vector<std::string> texts;
    for (size_t i = 0; i + 1 < column.offsets.size(); ++i) {
        texts.emplace_back(column.bytes.get() + column.offsets[i], column.bytes.get() + column.offsets[i + 1]);
    }
    return texts;
}

bool is_same(const JsonLines& a, const JsonLines& b) {
    bool same = a.lines == b.lines && a.num_lines == b.num_lines && a.refused.size() == b.refused.size();
    for (size_t i = 0; same && i < a.refused.size(); ++i) {
        same = a.refused[i].line == b.refused[i].line && a.refused[i].begin == b.refused[i].begin &&
               a.refused[i].end == b.refused[i].end;
    }
    for (size_t field = 0; same && field < a.columns.size(); ++field) {
        same = values(a.columns[field]) == values(b.columns[field]);
    }
    return same;
}

std::vector<std::string_view> split_lines(std::string_view data) {
    std::vector<std::string_view> lines;
    while (!data.empty()) {
        const size_t end = data.find('\n');
        lines.push_back(data.substr(0, end));
        data.remove_prefix(end == std::string_view::npos ? data.size() : end + 1);
    }
    return lines;
}

// Every line is a record, refused, or blank.
void check_lines(std::string_view data, const JsonLines& parsed) {
    const std::vector<std::string_view> lines = split_lines(data);
    FUZZ_CHECK(static_cast<size_t>(parsed.num_lines) == lines.size());
    size_t record = 0;
    size_t refused = 0;
    for (size_t i = 0; i < lines.size(); ++i) {
        if (record < parsed.lines.size() && static_cast<size_t>(parsed.lines[record]) == i) {
            FUZZ_CHECK(lines[i].size() <= kMaxLineBytes);
            ++record;
        } else if (refused < parsed.refused.size() && static_cast<size_t>(parsed.refused[refused].line) == i) {
            const auto begin = static_cast<size_t>(parsed.refused[refused].begin);
            const auto end = static_cast<size_t>(parsed.refused[refused].end);
            FUZZ_CHECK(data.substr(begin, end - begin) == lines[i]);
            ++refused;
        } else {
            FUZZ_CHECK(lines[i].find_first_not_of(" \t\r") == std::string_view::npos);
        }
    }
    FUZZ_CHECK(record == parsed.lines.size() && refused == parsed.refused.size());
}

std::string as_json(std::string_view text) {
    std::string line = R"({"text":")";
    for (const char c : text) {
        if (static_cast<unsigned char>(c) < 0x20) {
            char escape[8];
            std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
            line += escape;
        } else {
            line += c == '"' || c == '\\' ? std::string{'\\', c} : std::string{c};
        }
    }
    return line + "\"}";
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    textmill::fuzz::write_seeds(*argc, *argv, 2, 1);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    FuzzInput input(data, size);
    // What a record begins with is hard to come by.
    std::string prefix = input.take_flag() ? R"({"id": 1, "meta": {"url": "u"}, "text": ")" : "";
    const std::string lines = prefix + std::string(input.take_rest());
    const JsonLines parsed = parse_json_lines(lines, fields(), kMaxLineBytes, 1);
    FUZZ_CHECK(is_same(parsed, parse_json_lines(lines, fields(), kMaxLineBytes, 2, 1)));
    check_lines(lines, parsed);
    std::string again;
    for (const std::string& text : values(parsed.columns[0])) {
        again += as_json(text) + "\n";
    }
    const JsonLines twice = parse_json_lines(again, fields(), again.size(), 1);
    FUZZ_CHECK(twice.refused.empty() && values(twice.columns[0]) == values(parsed.columns[0]));
    return 0;
}
