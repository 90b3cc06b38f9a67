// The tokens and merges of one tokenizer. Immutable once made, and checked when it is made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/merge_table.h"
#include "tokenizer/token_grams.h"
#include "tokenizer/token_table.h"

namespace textmill::tokenizer {

class Vocab {
  public:
    // `tokens[id]` holds the bytes of each token; an empty one is a hole that no text reaches. `special_ids` are tokens
    // that text never becomes by itself. With `whole_pieces`, a piece that is a token as a whole is not merged.
    // With `drops_bytes`, bytes that have no token are left out of a text; without, they are refused.
    // Throws std::invalid_argument where a byte has no token, a merge does not fit its tokens, or anything is double.
    Vocab(TokenTable tokens, std::span<const Merge> merges, std::span<const TokenId> special_ids, bool whole_pieces,
          bool drops_bytes = false);

    Vocab(const Vocab&) = delete;
    Vocab& operator=(const Vocab&) = delete;
    Vocab(Vocab&&) = default;
    Vocab& operator=(Vocab&&) = delete;
    ~Vocab() = default;

    size_t size() const { return tokens_.size(); }
    std::string_view bytes_of(TokenId id) const { return tokens_[id]; }
    const std::array<TokenId, 256>& byte_tokens() const { return byte_tokens_; }
    const MergeTable& merges() const { return merges_; }
    const TokenGrams& grams() const { return grams_; }
    bool whole_pieces() const { return whole_pieces_; }

    // The token that a whole piece is, or kNoToken. Only where whole_pieces() holds.
    TokenId whole_piece(std::string_view piece) const;

  private:
    void index_whole_pieces();
    size_t slot_of_piece(std::string_view piece) const;
    void check_merge(const Merge& merge, size_t rank) const;

    TokenTable tokens_;
    std::vector<bool> is_special_;
    std::array<TokenId, 256> byte_tokens_;
    MergeTable merges_;
    TokenGrams grams_;
    std::vector<TokenId> whole_pieces_index_;  // by the hash of their bytes; at most half full
    bool whole_pieces_;
};

// The merges of a rank file (.tiktoken), where two neighbours merge if together they are a token, the lowest id first.
//
// For each token of two bytes or more, in the order of ids, its own bytes are encoded with the merges found so far. Two
// parts left: they are its merge. Any other number: no text ever merges into this token, and only a lookup of whole
// pieces reaches it. Why the list encodes as the ranks do: neighbours x, y in a partly merged text are what the bytes
// of xy alone become under the same merges, since no merge crossed their outer edges. So the neighbours that make up a
// token are always its one pair.
//
// `tokens` is as in Vocab, with specials empty. Throws std::invalid_argument where a byte has no token.
std::vector<Merge> merges_from_ranks(const TokenTable& tokens);

}  // namespace textmill::tokenizer
