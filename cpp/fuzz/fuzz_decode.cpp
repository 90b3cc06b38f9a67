// Any ids to bytes and any bytes to characters: ids become the bytes of their tokens, and the UTF-8 decoder agrees with
// one that is written from the table of well-formed sequences (Unicode 16, table 3-7).
#include <memory>

#include "fuzz/fuzz_input.h"
#include "fuzz/named_patterns.h"
#include "tokenizer/encode.h"
#include "tokenizer/pair_table.h"
#include "tokenizer/unicode.h"

namespace {

using namespace textmill::tokenizer;
using textmill::fuzz::FuzzInput;

constexpr size_t kMaxTokenBytes = 64;

struct Sequence {
    uint8_t first_lead, last_lead, first_second, last_second;
    uint32_t num_bytes;
};
constexpr Sequence kWellFormed[] = {
    {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

bool is_within(char byte, uint8_t first, uint8_t last) {
    return static_cast<uint8_t>(byte) >= first && static_cast<uint8_t>(byte) <= last;
}

Char decode_by_table(std::string_view text) {
    for (const auto& [first_lead, last_lead, first_second, last_second, num_bytes] : kWellFormed) {
        bool fits = text.size() >= num_bytes && is_within(text[0], first_lead, last_lead);
        fits = fits && (num_bytes < 2 || is_within(text[1], first_second, last_second));
        uint32_t code_point = static_cast<uint8_t>(text[0]) & (num_bytes == 1 ? 0x7F : 0x7F >> num_bytes);
        for (size_t i = 1; fits && i < num_bytes; ++i) {
            fits = is_within(text[i], 0x80, 0xBF);
            code_point = code_point << 6 | (static_cast<uint8_t>(text[i]) & 0x3F);
        }
        if (fits) {
            return {code_point, num_bytes};
        }
    }
    return {kInvalidByte, 1};
}

void check_characters(std::string_view text) {
    for (size_t at = 0; at < text.size();) {
        const Char found = char_at(text, at);
        const Char expected = decode_by_table(text.substr(at));
        FUZZ_CHECK(found.code_point == expected.code_point && found.num_bytes == expected.num_bytes);
        at += found.num_bytes;
    }
}

// A vocabulary that the input names merge by merge; the first 256 ids are the bytes.
Vocab take_vocab(FuzzInput& input, std::vector<std::string>& tokens) {
    for (size_t byte = 0; byte < 256; ++byte) {
        tokens.emplace_back(1, static_cast<char>(byte));
    }
    std::vector<Merge> merges;
    PairTable seen(256);
    for (size_t count = input.take_byte(); count > 0; --count) {
        const auto left = static_cast<TokenId>(input.take_byte());
        const auto right = static_cast<TokenId>(tokens.size() - 1 - input.take_below(256));
        const auto product = static_cast<TokenId>(tokens.size());
        if (tokens[left].size() + tokens[right].size() > kMaxTokenBytes || !seen.insert(left, right, {})) {
            continue;
        }
        merges.push_back({left, right, product});
        tokens.push_back(tokens[left] + tokens[right]);
    }
    return Vocab(tokens, merges, {}, false);
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    textmill::fuzz::write_seeds(*argc, *argv, 16, 9);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    check_characters({reinterpret_cast<const char*>(data), size});
    FuzzInput input(data, size);
    static const auto splitter =
        std::make_shared<const Splitter>(textmill::fuzz::named_patterns().front().stage_regexes);
    std::vector<std::string> tokens;
    const Encoder encoder(splitter, take_vocab(input, tokens));
    std::string expected;
    std::string decoded;
    while (!input.is_empty()) {
        const auto id = static_cast<TokenId>((input.take_byte() + (input.take_byte() << 8)) % tokens.size());
        expected += tokens[id];
        decoded += encoder.vocab().bytes_of(id);
    }
    FUZZ_CHECK(decoded == expected);
    TokenBuffer ids;
    encoder.encode(decoded, ids);
    std::string again;
    for (size_t i = 0; i < ids.size(); ++i) {
        again += tokens[ids.data()[i]];
    }
    FUZZ_CHECK(again == expected);
    return 0;
}
