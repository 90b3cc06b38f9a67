#include "fuzz/fuzz_input.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace textmill::fuzz {

void check(bool condition, const char* what, const char* file, int line) {
    if (!condition) {
        std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
        std::abort();
    }
}

std::vector<std::string> sample_texts() {
    return {
        "It's what they'LL say, isn't it? I'VE 12345 reasons.  Two spaces\n\n\tand a tab\r\n  x\n ",
        "na\xC3\xAFve \xF0\x9F\xA4\x96 \xE4\xB8\xAD\xE6\x96\x87 \xD0\x9F\xD1\x80\xD0\xB8 it'\xC5\xBF "
        "\xE2\x85\xA7\xC2\xBD \xE3\x80\x80\xC2\xA0x",
        "e\xCC\x81 a\xCC\x82\xCC\xA3 \xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB \xE2\x84\xAB "
        "\xF0\x91\x82\x99\xF0\x91\x82\xBA \xE0\xA4\xB9\xE0\xA4\xBF",
        "\xFF\xC0\x80 \xE2\x82 \xED\xA0\x80 \xF0\x9F\x98 \xF4\x90\x80\x80 \xC3",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa   \n \n \n''''//..!!",
        R"((?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}++|\p{N}{1,3}| ?[^\s\p{L}]+[\r\n]*|\s+(?!\S)|\s+$|[a-c\x{4E00}]*?)",
    };
}

void write_seeds(int argc, char** argv, size_t num_first_bytes, size_t header_bytes) {
    namespace fs = std::filesystem;
    for (int i = 1; i < argc; ++i) {
        const fs::path folder = argv[i];
        if (argv[i][0] == '-' || !fs::is_directory(folder) || !fs::is_empty(folder)) {
            continue;
        }
        for (size_t first = 0; first < num_first_bytes; ++first) {
            for (const std::string& text : sample_texts()) {
                const std::string input = std::string(header_bytes, static_cast<char>(first)) + text;
                const std::string name = "seed-" + std::to_string(first) + "-" + std::to_string(text.size());
                std::ofstream(folder / name, std::ios::binary) << input;
            }
        }
        return;
    }
}

}  // namespace textmill::fuzz
