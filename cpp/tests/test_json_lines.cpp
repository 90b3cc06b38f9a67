// The parser of JSON lines on memory that ends where the lines do, for the sanitizers; Python's tests compare it with
// json.loads.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "text/json_lines.h"

namespace {

using namespace textmill::text;

void check(bool condition, const char* what, int line) {
    if (!condition) {
        std::fprintf(stderr, "line %d: %s\n", line, what);
        std::exit(1);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

const std::vector<FieldPath> kFields{{"text"}, {"id"}, {"meta", "url"}};

const std::vector<std::string> kParts{"{",
                                      "}",
                                      "[",
                                      "]",
                                      ",",
                                      ":",
                                      "\"",
                                      "\\",
                                      "\\u",
                                      "\\ud83d\\ude00",
                                      "\\n",
                                      "\"text",
                                      "\":\"",
                                      "\xC3\xA9",
                                      "\xE2",
                                      "\xF0\x9F",
                                      "null",
                                      "tru",
                                      "-1.5e+3",
                                      "0",
                                      "\n",
                                      " ",
                                      "\xFF",
                                      "\"text\": \"some words that fill a step",
                                      "\"meta\": {\"url\": \"u\"}",
                                      "{\"id\": 1, \"text\": \""};

// In an allocation of its own, without a zero behind it.
std::vector<char> exact(std::string_view text) {
    return {text.begin(), text.end()};
}

JsonLines parse(const std::vector<char>& data, unsigned num_threads, size_t task_bytes) {
    return parse_json_lines({data.data(), data.size()}, FieldTree(kFields), 1 << 20, num_threads, task_bytes);
}

void test_a_record() {
    const std::string line = R"({"id": 12, "text": "a\u00e9\n\ud83d\ude00", "meta": {"x": [1, {}], "url": "u"}})";
    const JsonLines parsed = parse(exact("\n" + line), 1, kJsonTaskBytes);
    CHECK(parsed.lines == std::vector<int64_t>{1} && parsed.num_lines == 2 && parsed.refused.empty());
    const std::vector<std::string> wanted{"a\xC3\xA9\n\xF0\x9F\x98\x80", "12", "u"};
    for (size_t field = 0; field < wanted.size(); ++field) {
        const FieldColumn& column = parsed.columns[field];
        CHECK(std::string_view(column.bytes.get(), static_cast<size_t>(column.offsets[1])) == wanted[field]);
    }
    for (size_t size = 0; size < line.size(); ++size) {
        CHECK(parse(exact(line.substr(0, size)), 1, kJsonTaskBytes).lines.empty());
    }
}

void test_parts_in_any_order() {
    std::mt19937 random(1);
    size_t num_records = 0;
    for (int round = 0; round < 20000; ++round) {
        std::string text;
        for (size_t count = random() % 12; count > 0; --count) {
            text += kParts[random() % kParts.size()];
        }
        if (round % 2 == 0) {
            text = "{\"text\": \"" + text + "\"}\n" + text;
        }
        const std::vector<char> data = exact(text);
        const JsonLines whole = parse(data, 1, kJsonTaskBytes);
        const JsonLines parts = parse(data, 2, 1);
        CHECK(whole.lines == parts.lines && whole.num_lines == parts.num_lines);
        CHECK(whole.refused.size() == parts.refused.size());
        for (size_t field = 0; field < kFields.size(); ++field) {
            CHECK(whole.columns[field].offsets == parts.columns[field].offsets);
        }
        num_records += whole.lines.size();
    }
    CHECK(num_records > 100);
}

}  // namespace

int main() {
    test_a_record();
    test_parts_in_any_order();
    std::puts("ok");
    return 0;
}
