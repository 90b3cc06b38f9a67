// The tokens and merges of one tokenizer. Immutable once made, and checked when it is made.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/token_buffer.h"

namespace textmill::tokenizer {

constexpr TokenId kNoToken = 0xFFFFFFFF;
constexpr size_t kMaxTokens = size_t{1} << 24;
constexpr uint32_t kNoRank = 0xFFFFFFFF;

// Two tokens that become one. Its rank is its place in the list: the lowest rank is applied first.
struct Merge {
    TokenId left;
    TokenId right;
    TokenId product;
};

// The bytes of tokens by id, one after the other in one string.
class TokenTable {
  public:
    TokenTable() = default;
    // Implicit: a list of tokens is a table of them.
    TokenTable(const std::vector<std::string>& tokens);  // NOLINT(google-explicit-constructor)

    // Throws std::length_error for more than 4 GiB in all.
    void push_back(std::string_view token);

    size_t size() const { return ends_.size() - 1; }
    std::string_view operator[](TokenId id) const {
        return std::string_view(bytes_).substr(ends_[id], ends_[id + 1] - ends_[id]);
    }

  private:
    std::string bytes_;
    std::vector<uint32_t> ends_ = {0};  // of the token before each
};

struct RankedProduct {
    uint32_t rank;
    TokenId product;
};

// From a pair of tokens to its merge: open addressing, linear probing, at most half full.
class PairTable {
  public:
    explicit PairTable(size_t num_pairs);

    // False where the pair is there already.
    bool insert(TokenId left, TokenId right, RankedProduct value);

    // Rank kNoRank where the pair never merges.
    RankedProduct find(TokenId left, TokenId right) const {
        const uint64_t key = key_of(left, right);
        for (size_t slot = slot_of(key);; slot = (slot + 1) & mask_) {
            if (slots_[slot].key == key) {
                return slots_[slot].value;
            }
            if (slots_[slot].key == kEmptyKey) {
                return {kNoRank, kNoToken};
            }
        }
    }

  private:
    static constexpr uint64_t kEmptyKey = ~uint64_t{0};
    struct Slot {
        uint64_t key = kEmptyKey;
        RankedProduct value{};
    };

    static uint64_t key_of(TokenId left, TokenId right) { return uint64_t{left} << 32 | right; }
    size_t slot_of(uint64_t key) const { return static_cast<size_t>((key * 0x9E3779B97F4A7C15) >> shift_) & mask_; }

    std::vector<Slot> slots_;
    size_t mask_;
    unsigned shift_;
};

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
    const PairTable& pairs() const { return pairs_; }
    bool whole_pieces() const { return whole_pieces_; }

    // The token that a whole piece is, or kNoToken. Only where whole_pieces() holds.
    TokenId whole_piece(std::string_view piece) const;

  private:
    void index_whole_pieces(const std::vector<bool>& is_special);
    size_t slot_of_piece(std::string_view piece) const;
    void check_merge(const Merge& merge, size_t rank, const std::vector<bool>& is_special) const;

    TokenTable tokens_;
    PairTable pairs_;
    std::array<TokenId, 256> byte_tokens_{};
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
