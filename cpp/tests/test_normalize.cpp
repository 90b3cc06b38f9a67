// Normalisation of any bytes: nothing is read or written out of bounds, and what is said to have changed has.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/normalize.h"

using textmill::tokenizer::nfc_prefix;
using textmill::tokenizer::NormalizedChange;
using textmill::tokenizer::to_nfc;

namespace {

void check(bool is_right, int line) {
    if (!is_right) {
        std::fprintf(stderr, "test_normalize.cpp:%d failed\n", line);
        std::exit(1);
    }
}
#define CHECK(condition) check(condition, __LINE__)

void check_changes(std::string_view text) {
    std::vector<NormalizedChange> changes;
    const std::string normalized = to_nfc(text, &changes);
    CHECK(normalized == to_nfc(text));
    CHECK(to_nfc(normalized) == normalized);
    size_t to_at = 0;
    size_t from_at = 0;
    for (const NormalizedChange& change : changes) {
        CHECK(to_at <= change.to_begin && change.to_begin <= change.to_end && change.to_end <= normalized.size());
        CHECK(from_at <= change.from_begin && change.from_begin < change.from_end && change.from_end <= text.size());
        CHECK(normalized.substr(to_at, change.to_begin - to_at) == text.substr(from_at, change.from_begin - from_at));
        to_at = change.to_end;
        from_at = change.from_end;
    }
    CHECK(normalized.substr(to_at) == text.substr(from_at));
    const size_t prefix = nfc_prefix(text);
    CHECK(prefix <= text.size() && normalized.substr(0, prefix) == text.substr(0, prefix));
}

void test_random_bytes() {
    const std::vector<std::string> parts = {"a",
                                            "e\xCC\x81",
                                            "\xCC\x81",
                                            "\xCC\xA3",
                                            "\xE1\x84\x80",
                                            "\xE1\x85\xA1",
                                            "\xE1\x86\xA8",
                                            "\xEA\xB0\x80",
                                            "\xE2\x84\xAB",
                                            "\xFF",
                                            "\xCC",
                                            "\xF0\x91\x82\x99",
                                            "\xF0\x91\x82\xBA",
                                            "\xED\xA0\x80",
                                            "\xEF\xAC\xAC",
                                            " "};
    std::mt19937 random(1);
    for (int i = 0; i < 20000; ++i) {
        std::string text;
        for (unsigned n = random() % 24; n > 0; --n) {
            text += random() % 8 == 0 ? std::string(1, static_cast<char>(random())) : parts[random() % parts.size()];
        }
        check_changes(text);
    }
}

void test_known_texts() {
    CHECK(to_nfc("e\xCC\x81") == "\xC3\xA9");
    CHECK(to_nfc("\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB") == "\xED\x95\x9C");
    CHECK(to_nfc("a\xCC\x82\xCC\xA3") == "\xE1\xBA\xAD");
    CHECK(to_nfc("e\xFF\xCC\x81") == "e\xFF\xCC\x81");
    CHECK(nfc_prefix("plain text") == 10);
}

}  // namespace

int main() {
    test_known_texts();
    test_random_bytes();
    std::puts("normalize: all tests passed");
    return 0;
}
