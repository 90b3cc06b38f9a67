// The tokens that learning knows: which two may become one, and which token that is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

class LearnedTokens {
  public:
    // `tokens`: their bytes by id, empty where no text becomes them. `never`: what no merge may make. `max_length`:
    // tokens of more than two bytes have fewer; 0 is no limit.
    LearnedTokens(const std::vector<std::string>& tokens, const std::vector<std::string>& never, size_t max_length);

    size_t size() const { return lengths_.size(); }

    bool may_merge(TokenId left, TokenId right) const;

    // The token that a merge makes: the next id, or a token with the same bytes that is there already.
    TokenId merge(TokenId left, TokenId right);

    size_t memory_bytes() const;

  private:
    std::vector<uint32_t> lengths_;  // in bytes
    size_t max_length_;
    const std::vector<std::string>& never_;
    std::vector<std::string> bytes_;                     // of each token; empty where nothing needs them
    std::unordered_map<std::string, TokenId> existing_;  // tokens that a merge may make again; empty where none can
};

}  // namespace textmill::tokenizer
