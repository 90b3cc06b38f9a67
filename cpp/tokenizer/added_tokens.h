// Where the added tokens of a vocabulary stand in a text, by the rules of Hugging Face's tokenizers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/longest_match.h"
#include "tokenizer/token_buffer.h"

namespace textmill::tokenizer {

struct AddedToken {
    TokenId id;
    bool is_single_word;  // found only where no word goes on before or after it
    bool strips_left;     // takes in the whitespace before it
    bool strips_right;    // and after it
};

// The leftmost token wins, and of several there the longest. Immutable.
class AddedTokens {
  public:
    static constexpr int64_t kOrdinary = -1;

    // A stretch of a text: a token, or what lies between two, with kOrdinary for its id.
    struct Part {
        size_t begin;
        size_t end;
        int64_t id;
    };

    // Throws std::invalid_argument for texts that LongestMatch refuses.
    AddedTokens(std::span<const std::string_view> texts, std::vector<AddedToken> tokens);

    // A token that takes the whitespace after it may be followed by one that begins in that whitespace. Both are found,
    // and what is left begins after the second.
    std::vector<Part> split(std::string_view text) const;

  private:
    const LongestMatch longest_;
    const std::vector<AddedToken> tokens_;
    const std::vector<size_t> num_bytes_;  // of the text of each token
};

}  // namespace textmill::tokenizer
