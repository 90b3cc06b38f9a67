#include "tokenizer/ranks.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <string>

namespace textmill::tokenizer {
namespace {

constexpr uint8_t kNoDigit = 0xFF;
constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::array<uint8_t, 256> kValues = [] {
    std::array<uint8_t, 256> values{};
    values.fill(kNoDigit);
    for (uint8_t i = 0; i < kDigits.size(); ++i) {
        values[static_cast<uint8_t>(kDigits[i])] = i;
    }
    return values;
}();

// Appends what base64 stands for (RFC 4648, with padding); false where it is not base64.
bool decode_base64(std::string_view text, std::string& bytes) {
    if (text.empty() || text.size() % 4 != 0) {
        return false;
    }
    const size_t num_padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    uint32_t bits = 0;
    for (size_t i = 0; i < text.size(); ++i) {
        const bool is_padding = i >= text.size() - num_padding;
        const uint8_t value = is_padding ? 0 : kValues[static_cast<uint8_t>(text[i])];
        if (value == kNoDigit) {
            return false;
        }
        bits = bits << 6 | value;
        if (i % 4 == 3) {
            for (const unsigned shift : {16u, 8u, 0u}) {
                bytes.push_back(static_cast<char>(bits >> shift));
            }
            bits = 0;
        }
    }
    bytes.resize(bytes.size() - num_padding);
    return true;
}

struct Entry {
    size_t rank;
    size_t begin;  // of the bytes
    size_t end;
};

[[noreturn]] void refuse(size_t line_number, std::string_view line) {
    constexpr size_t kShown = 80;
    throw std::invalid_argument("line " + std::to_string(line_number) + " is \"" + std::string(line.substr(0, kShown)) +
                                "\", and must be a token in base64 and its rank");
}

}  // namespace

TokenTable parse_ranks(std::string_view file) {
    std::string bytes;
    bytes.reserve(file.size());
    std::vector<Entry> entries;
    size_t num_ranks = 0;
    for (size_t line_number = 1; !file.empty(); ++line_number) {
        const size_t line_end = std::min(file.find('\n'), file.size());
        std::string_view line = file.substr(0, line_end);
        file.remove_prefix(std::min(line_end + 1, file.size()));
        if (line.ends_with('\r')) {
            line.remove_suffix(1);
        }
        if (line.empty()) {
            continue;
        }
        const size_t space = line.find(' ');
        Entry entry{0, bytes.size(), 0};
        if (space == std::string_view::npos || !decode_base64(line.substr(0, space), bytes)) {
            refuse(line_number, line);
        }
        const auto [rank_end, error] = std::from_chars(line.data() + space + 1, line.data() + line.size(), entry.rank);
        if (error != std::errc() || rank_end != line.data() + line.size() || entry.rank >= kNoToken) {
            refuse(line_number, line);
        }
        entry.end = bytes.size();
        entries.push_back(entry);
        num_ranks = std::max(num_ranks, entry.rank + 1);
    }
    const size_t most = std::min(kMaxTokens, 2 * entries.size() + 65'536);
    if (num_ranks > most) {
        throw std::invalid_argument("the highest rank is " + std::to_string(num_ranks - 1) + " with " +
                                    std::to_string(entries.size()) + " tokens; ranks above " + std::to_string(most) +
                                    " are refused");
    }
    std::vector<const Entry*> by_rank(num_ranks, nullptr);
    for (const Entry& entry : entries) {
        if (by_rank[entry.rank] != nullptr) {
            throw std::invalid_argument("two tokens have the rank " + std::to_string(entry.rank));
        }
        by_rank[entry.rank] = &entry;
    }
    TokenTable tokens;
    for (const Entry* const entry : by_rank) {
        tokens.push_back(entry == nullptr ? std::string_view()
                                          : std::string_view(bytes).substr(entry->begin, entry->end - entry->begin));
    }
    return tokens;
}

}  // namespace textmill::tokenizer
