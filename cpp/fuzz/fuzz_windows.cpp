// Piece boundaries by bit masks against the automaton of the same pattern, for every tier that this machine runs.
#include "fuzz/fuzz_input.h"
#include "fuzz/named_patterns.h"
#include "tokenizer/scanner.h"
#include "tokenizer/windows.h"

namespace {

using namespace textmill::tokenizer;
using textmill::fuzz::FuzzInput;

struct Family {
    std::string_view pattern;
    WindowRule rule;
};
constexpr Family kFamilies[] = {
    {"gpt2", {WindowFamily::kGpt2, 0, false}},
    {"smollm", {WindowFamily::kGpt2, 0, true}},
    {"cl100k", {WindowFamily::kCl100k, 3, false}},
    {"qwen2", {WindowFamily::kCl100k, 1, false}},
};

const Splitter& splitter_of(size_t family) {
    static const auto compiled = [] {
        std::vector<Splitter> splitters;
        for (const Family& wanted : kFamilies) {
            for (const auto& [name, stage_regexes] : textmill::fuzz::named_patterns()) {
                if (name == wanted.pattern) {
                    splitters.emplace_back(stage_regexes);
                }
            }
        }
        return splitters;
    }();
    return compiled[family];
}

std::vector<FindEnds> tiers() {
    std::vector<FindEnds> found = {find_ends_portable};
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) {
        found.push_back(find_ends_avx2);
    }
#endif
    return found;
}

std::vector<size_t> ends_of(const Splitter& splitter, std::string_view text) {
    std::vector<size_t> ends;
    Scanner scanner(splitter, text);
    for (Piece piece{}; scanner.next(piece);) {
        ends.push_back(piece.end);
    }
    return ends;
}

// Where the windows find nothing, the next piece is the automaton's, as for their users.
void check_ends(FindEnds find_ends, const WindowRule& rule, std::string_view text, const std::vector<size_t>& expected,
                size_t capacity) {
    std::vector<uint32_t> ends(capacity);
    size_t begin = 0;
    for (size_t piece = 0; piece < expected.size();) {
        const size_t num_ends = find_ends(rule, {text}, begin, ends.data(), capacity);
        FUZZ_CHECK(num_ends <= capacity && num_ends <= expected.size() - piece);
        for (size_t i = 0; i < num_ends; ++i) {
            FUZZ_CHECK(begin + ends[i] == expected[piece + i]);
        }
        piece += num_ends == 0 ? 1 : num_ends;
        begin = expected[piece - 1];
    }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    textmill::fuzz::write_seeds(*argc, *argv, std::size(kFamilies), 2);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    FuzzInput input(data, size);
    const size_t family = input.take_below(std::size(kFamilies));
    const size_t capacity = kMinWindowEnds + input.take_byte();
    const std::string_view text = input.take_rest();
    const std::vector<size_t> expected = ends_of(splitter_of(family), text);
    for (const FindEnds find_ends : tiers()) {
        check_ends(find_ends, kFamilies[family].rule, text, expected, capacity);
    }
    return 0;
}
