// Words to tokens under merges that are there already: what training on top of a vocabulary starts from.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

class WordMerger {
  public:
    // `tokens` by id, all 256 bytes among them (std::invalid_argument otherwise); empty where no text becomes it.
    // The tokens must outlive the merger.
    WordMerger(const std::vector<std::string>& tokens, const std::vector<Merge>& merges, bool whole_pieces);

    // The tokens of a word, valid until the next call: the merge of lowest rank first, of equals the leftmost.
    std::span<const TokenId> operator()(std::string_view word);

  private:
    struct Step {
        uint32_t rank;
        uint32_t at;
        bool operator>(const Step& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
    };

    void merge();
    void push_step(size_t at);

    std::array<TokenId, 256> byte_tokens_{};
    PairTable pairs_;
    std::unordered_map<std::string_view, TokenId> whole_pieces_;
    bool has_merges_;
    std::vector<TokenId> tokens_;
    std::vector<uint32_t> next_;  // of a token's place; places inside tokens are stale
    std::vector<uint32_t> previous_;
    std::vector<Step> steps_;  // a heap
};

}  // namespace textmill::tokenizer
