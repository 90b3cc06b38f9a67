#include "fuzz/plain_bpe.h"

#include <algorithm>
#include <array>

#include "fuzz/fuzz_input.h"
#include "tokenizer/train.h"

namespace textmill::fuzz {
namespace {

using tokenizer::Merge;
using tokenizer::Piece;
using tokenizer::Scanner;
using tokenizer::Splitter;
using tokenizer::TokenId;
using Pair = std::pair<TokenId, TokenId>;

void merge_pair(std::vector<TokenId>& ids, const Merge& merge) {
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
        if (ids[i] == merge.left && ids[i + 1] == merge.right) {
            ids[i] = merge.product;
            ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
    }
}

std::array<TokenId, 256> ids_of_bytes() {
    std::array<TokenId, 256> ids{};
    TokenId id = 0;
    for (const uint8_t byte : tokenizer::bytes_in_alphabet_order()) {
        ids[byte] = id++;
    }
    return ids;
}

std::vector<TokenId> bytes_of(std::string_view piece) {
    static const std::array<TokenId, 256> ids = ids_of_bytes();
    std::vector<TokenId> bytes;
    for (const char byte : piece) {
        bytes.push_back(ids[static_cast<uint8_t>(byte)]);
    }
    return bytes;
}

}  // namespace

std::vector<std::string_view> split(const Splitter& splitter, std::string_view text) {
    std::vector<std::string_view> pieces;
    Scanner scanner(splitter, text);
    size_t end = 0;
    for (Piece piece{}; scanner.next(piece);) {
        FUZZ_CHECK(piece.begin == end && piece.end > piece.begin);
        end = piece.end;
        pieces.push_back(text.substr(piece.begin, piece.end - piece.begin));
    }
    FUZZ_CHECK(end == text.size());
    return pieces;
}

Learned learn_plainly(const Splitter& splitter, std::string_view text, size_t num_merges) {
    Learned learned;
    for (const uint8_t byte : tokenizer::bytes_in_alphabet_order()) {
        learned.tokens.emplace_back(1, static_cast<char>(byte));
    }
    std::vector<std::vector<TokenId>> words;
    for (const std::string_view piece : split(splitter, text)) {
        words.push_back(bytes_of(piece));
    }
    while (learned.merges.size() < num_merges) {
        std::map<Pair, size_t> counts;
        for (const std::vector<TokenId>& word : words) {
            for (size_t i = 0; i + 1 < word.size(); ++i) {
                ++counts[{word[i], word[i + 1]}];
            }
        }
        if (counts.empty()) {
            break;
        }
        const auto& [left, right] = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
                                        return a.second < b.second;
                                    })->first;
        learned.ranks.emplace(Pair{left, right}, learned.merges.size());
        learned.merges.push_back({left, right, static_cast<TokenId>(learned.tokens.size())});
        learned.tokens.push_back(learned.tokens[left] + learned.tokens[right]);
        for (std::vector<TokenId>& word : words) {
            merge_pair(word, learned.merges.back());
        }
    }
    return learned;
}

std::vector<TokenId> merge_plainly(const Learned& learned, std::string_view piece) {
    std::vector<TokenId> ids = bytes_of(piece);
    while (true) {
        size_t best = learned.merges.size();
        for (size_t i = 0; i + 1 < ids.size(); ++i) {
            const auto found = learned.ranks.find({ids[i], ids[i + 1]});
            best = found == learned.ranks.end() ? best : std::min(best, found->second);
        }
        if (best == learned.merges.size()) {
            return ids;
        }
        merge_pair(ids, learned.merges[best]);
    }
}

}  // namespace textmill::fuzz
