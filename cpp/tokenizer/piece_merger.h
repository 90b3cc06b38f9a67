// Merging the bytes of one piece.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

// One merge on the way from the bytes of a piece to its tokens.
struct MergeStep {
    uint32_t at;  // first byte of the product inside the piece
    TokenId left;
    TokenId right;
    TokenId product;
    uint32_t rank;
};

// The pair of lowest rank first, the leftmost of equals. Holds scratch space, so that each thread has its own.
class PieceMerger {
  public:
    PieceMerger(const std::array<TokenId, 256>& byte_tokens, const PairTable& pairs);

    // Writes the tokens of a piece to `ids`, which has room for one a byte, and returns where they end. `steps`, where
    // given, gets each merge in the order in which it is made.
    TokenId* merge(std::string_view piece, TokenId* ids, std::vector<MergeStep>* steps = nullptr);

  private:
    struct Symbol {
        TokenId id;
        uint32_t rank;    // of the merge with the next symbol, kNoRank where there is none
        TokenId product;  // of that merge
        uint32_t previous;
        uint32_t next;
    };

    TokenId* merge_short(std::string_view piece, TokenId* ids, std::vector<MergeStep>* steps);
    TokenId* merge_long(std::string_view piece, TokenId* ids, std::vector<MergeStep>* steps);
    void rank_pair(uint32_t at);

    const std::array<TokenId, 256>& byte_tokens_;
    const PairTable& pairs_;
    const bool drops_bytes_;  // some bytes have no token: they are left out of a piece, as Hugging Face does
    std::string kept_;
    std::vector<Symbol> symbols_;
    std::vector<uint64_t> heap_;  // rank << 32 | place; stale entries are dropped when they surface
};

}  // namespace textmill::tokenizer
