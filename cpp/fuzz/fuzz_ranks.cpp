// Rank files: any bytes are read or refused; what was read, written again in any order, is read as the same.
#include <stdexcept>
#include <string>
#include <vector>

#include "fuzz/fuzz_input.h"
#include "tokenizer/ranks.h"

namespace {

using textmill::fuzz::FuzzInput;
using namespace textmill::tokenizer;

std::string in_base64(std::string_view bytes) {
    static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (size_t at = 0; at < bytes.size(); at += 3) {
        uint32_t bits = 0;
        for (size_t i = 0; i < 3; ++i) {
            bits = bits << 8 | (at + i < bytes.size() ? static_cast<uint8_t>(bytes[at + i]) : 0u);
        }
        for (size_t i = 0; i < 4; ++i) {
            const bool is_padding = at + i > bytes.size();
            text += is_padding ? '=' : kDigits[bits >> (18 - 6 * i) & 63];
        }
    }
    return text;
}

std::vector<std::string> tokens_of(const TokenTable& table) {
    std::vector<std::string> tokens;
    for (size_t rank = 0; rank < table.size(); ++rank) {
        tokens.emplace_back(table[rank]);
    }
    return tokens;
}

std::string file_of(const std::vector<std::string>& tokens, bool from_the_last, std::string_view line_end) {
    std::string file;
    for (size_t i = 0; i < tokens.size(); ++i) {
        const size_t rank = from_the_last ? tokens.size() - 1 - i : i;
        if (!tokens[rank].empty()) {
            file += in_base64(tokens[rank]) + " " + std::to_string(rank);
            file += line_end;
        }
    }
    return file;
}

// Tokens of which some are empty: ranks that no line has.
std::vector<std::string> take_tokens(FuzzInput& input) {
    std::vector<std::string> tokens;
    while (!input.is_empty()) {
        tokens.emplace_back(input.take(input.take_below(8)));
    }
    while (!tokens.empty() && tokens.back().empty()) {
        tokens.pop_back();
    }
    return tokens;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    textmill::fuzz::write_seeds(*argc, *argv, 4, 1);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    FuzzInput input(data, size);
    const size_t kind = input.take_below(4);
    std::vector<std::string> tokens;
    if (kind < 2) {
        try {
            tokens = tokens_of(parse_ranks(input.take_rest()));
        } catch (const std::invalid_argument&) {
            return 0;
        }
    } else {
        tokens = take_tokens(input);
    }
    const std::string file = file_of(tokens, kind % 2 == 1, kind == 3 ? "\r\n" : "\n");
    FUZZ_CHECK(tokens_of(parse_ranks(file)) == tokens);
    return 0;
}
