// The bit masks of every tier against the automaton, for the patterns that have masks.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/piece_ends.h"
#include "tokenizer/scanner.h"
#include "tokenizer/unicode.h"
#include "tokenizer/windows.h"

namespace {

using namespace textmill::tokenizer;

const std::string kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

std::string cl100k_with(const std::string& numbers) {
    return R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)" + numbers +
           R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
}

void check(bool condition, const char* what, int line) {
    if (!condition) {
        std::fprintf(stderr, "line %d: %s\n", line, what);
        std::exit(1);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

std::vector<size_t> ends_by_automaton(const Splitter& splitter, std::string_view text) {
    std::vector<size_t> ends;
    Scanner scanner(splitter, text);
    Piece piece{};
    while (scanner.next(piece)) {
        ends.push_back(piece.end);
    }
    return ends;
}

std::vector<size_t> ends_by_windows(const Splitter& splitter, FindEnds find_ends, const PaddedText& padded) {
    const std::string_view text = padded.bytes;
    std::vector<size_t> ends;
    std::array<uint32_t, 2 * kMinWindowEnds> found;
    size_t begin = 0;
    while (begin < text.size()) {
        const size_t count = find_ends(splitter.window_rule(), padded, begin, found.data(), found.size());
        if (count == 0) {
            Piece piece{};
            Scanner(splitter, text.substr(begin)).next(piece);
            ends.push_back(begin + piece.end);
        }
        for (size_t i = 0; i < count; ++i) {
            ends.push_back(begin + found[i]);
        }
        begin = ends.back();
    }
    return ends;
}

// Runs of the kinds of characters that the rules speak of, some longer than a window, with broken UTF-8 between them.
// Exactly sized, so that a read past the end is one past the allocation.
std::string random_text(std::mt19937& draw) {
    static const std::vector<std::string> kParts = {"a",
                                                    "Z",
                                                    "don",
                                                    "'s",
                                                    "'S",
                                                    "'ll",
                                                    "'RE",
                                                    "'v",
                                                    "'",
                                                    "''",
                                                    " ",
                                                    "  ",
                                                    "\n",
                                                    "\r\n",
                                                    "\t",
                                                    "\v",
                                                    "1",
                                                    "12",
                                                    "1234567",
                                                    "!",
                                                    "?!",
                                                    "(",
                                                    "/",
                                                    "_",
                                                    "\x1C",
                                                    "\xC2\xA0",
                                                    "\xE2\x80\x83",
                                                    "\xC3\xA9",
                                                    "\xC3\x97",
                                                    "\xD0\x96",
                                                    "\xD1\x8F",
                                                    "\xE4\xB8\xAD",
                                                    "\xE9\xBF\xBF",
                                                    "\xEB\x80\x80",
                                                    "\xE3\x80\x82",
                                                    "\xE2\x80\x9C",
                                                    "\xC5\xBF",
                                                    "'\xC5\xBF",
                                                    "\xFF",
                                                    "\x80",
                                                    "\xE5\xB8",
                                                    "\xCC\x81",
                                                    "\xE2\x85\xA7",
                                                    "\xC2\xB2",
                                                    "\xD9\xA3",
                                                    "\xF0\x9F\xA4\x96",
                                                    "\xF0\x9F",
                                                    "\xC4"};
    std::string text;
    const size_t num_parts = draw() % 60;
    const size_t most_repeats = draw() % 8 == 0 ? 40 : 3;
    for (size_t i = 0; i < num_parts; ++i) {
        const std::string& part = kParts[draw() % kParts.size()];
        for (size_t repeats = draw() % most_repeats + 1; repeats > 0; --repeats) {
            text += part;
        }
    }
    text.shrink_to_fit();
    return text;
}

void test_windows_are_the_automaton() {
    const std::vector<FindEnds> tiers = {find_ends_tier(), find_ends_portable};
    const std::vector<std::vector<std::string>> patterns = {{kGpt2},
                                                            {R"(\p{N})", kGpt2},
                                                            {cl100k_with(R"(\p{N}{1,3})")},
                                                            {cl100k_with(R"(\p{N}{1,2})")},
                                                            {cl100k_with(R"(\p{N})")}};
    std::mt19937 draw(1);
    for (const std::vector<std::string>& regexes : patterns) {
        const Splitter splitter(regexes);
        CHECK(splitter.window_rule().family != WindowFamily::kNone);
        for (int round = 0; round < 4000; ++round) {
            const std::string text = random_text(draw);
            const std::vector<size_t> ends = ends_by_automaton(splitter, text);
            for (const FindEnds find_ends : tiers) {
                CHECK(ends_by_windows(splitter, find_ends, {text}) == ends);
                const std::string padded = text + random_text(draw) + std::string(64, 'x');
                CHECK(ends_by_windows(splitter, find_ends, {std::string_view(padded).substr(0, text.size()), 64}) ==
                      ends);
            }
            std::vector<size_t> batched;
            PieceEnds pieces(splitter, text);
            while (pieces.next()) {
                for (const uint32_t end : pieces.ends()) {
                    batched.push_back(pieces.begin() + end);
                }
            }
            CHECK(batched == ends);
        }
    }
}

void test_leads_that_the_masks_take_for_letters_are_letters() {
    const auto all_letters = [](uint32_t first, uint32_t last) {
        for (uint32_t code_point = first; code_point <= last; ++code_point) {
            CHECK(class_of(code_point) == CharClass::kLetter);
        }
    };
    all_letters(0x100, 0x17F);    // C4, C5
    all_letters(0x400, 0x47F);    // D0, D1
    all_letters(0x5000, 0x9FFF);  // E5 to E9
    all_letters(0xB000, 0xCFFF);  // EB, EC
}

void test_other_patterns_have_no_windows() {
    for (const char* regex : {R"([\s\S])", R"(\p{L}+|\s+)", R"(\p{N})"}) {
        CHECK(Splitter({regex}).window_rule().family == WindowFamily::kNone);
    }
    CHECK(Splitter({cl100k_with(R"(\p{N}{1,4})")}).window_rule().family == WindowFamily::kNone);
}

}  // namespace

int main() {
    test_windows_are_the_automaton();
    test_leads_that_the_masks_take_for_letters_are_letters();
    test_other_patterns_have_no_windows();
    return 0;
}
