// A vocabulary of sentencepiece's kind: pieces made of characters, some of which only stand for bytes or for control.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/pair_table.h"
#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

// The numbers are sentencepiece's, and GGUF's token_type.
enum class PieceKind : uint8_t {
    kHole = 0,  // an id without a piece
    kNormal = 1,
    kUnknown = 2,
    kControl = 3,      // text never becomes it
    kUserDefined = 4,  // found in the text before anything is merged
    kUnused = 5,       // takes part in merges, and is taken apart again afterwards, or unknown
    kByte = 6,         // "<0x0A>": one byte of a character that has no piece
};

constexpr std::string_view kSpaceSymbol = "\xE2\x96\x81";  // U+2581

// Finds the longest of some texts that stands at a place. A binary search narrows them byte by byte, so that the time
// depends on the length of what matches and not on how many there are.
class LongestMatcher {
  public:
    struct Match {
        size_t num_bytes;  // 0 where nothing matches
        TokenId id;
    };

    LongestMatcher() = default;
    explicit LongestMatcher(std::vector<std::pair<std::string_view, TokenId>> texts);
    Match match(std::string_view text) const;

  private:
    std::vector<std::pair<std::string_view, TokenId>> texts_;  // sorted
    std::array<std::pair<uint32_t, uint32_t>, 256> by_first_byte_{};
};

// Symbols are what is merged: pieces by their ids, and, from size() on, characters that are no piece but part of one.
class CharacterVocab {
  public:
    // With `scores`, two neighbours merge wherever they are a piece together, the highest score first. Without,
    // `merges` lists the pairs, the first one first. Pieces must be UTF-8. Throws std::invalid_argument where pieces
    // are double, merges do not fit or bytes are missing.
    CharacterVocab(std::vector<std::string> pieces, std::vector<PieceKind> kinds, std::span<const float> scores,
                   std::span<const Merge> merges, bool has_byte_fallback);

    CharacterVocab(const CharacterVocab&) = delete;
    CharacterVocab& operator=(const CharacterVocab&) = delete;
    CharacterVocab(CharacterVocab&&) = delete;
    CharacterVocab& operator=(CharacterVocab&&) = delete;
    ~CharacterVocab() = default;

    size_t size() const { return pieces_.size(); }
    PieceKind kind(TokenId id) const { return kinds_[id]; }
    bool is_token(TokenId symbol) const { return symbol < pieces_.size(); }
    size_t num_bytes(TokenId symbol) const {
        return is_token(symbol) ? pieces_[symbol].size() : extra_characters_[symbol - pieces_.size()].size();
    }
    // The symbol of a character, kNoToken where no piece has it.
    TokenId symbol_of(uint32_t code_point) const {
        return code_point < symbols_.size() ? symbols_[code_point] : kNoToken;
    }
    RankedProduct merge_of(TokenId left, TokenId right) const {
        return left == kNoToken || right == kNoToken ? RankedProduct{kNoRank, kNoToken} : pairs_.find(left, right);
    }
    // The piece that a whole text is, or kNoToken.
    TokenId piece(std::string_view text) const;
    const LongestMatcher& user_defined() const { return user_defined_; }
    const std::array<TokenId, 256>& byte_tokens() const { return byte_tokens_; }
    TokenId unknown() const { return unknown_; }
    bool has_byte_fallback() const { return has_byte_fallback_; }
    // A merge may make an unused piece.
    bool has_unused() const { return has_unused_; }
    // No merge joins a character and a space symbol after it, so that a text can be cut there.
    bool ends_at_spaces() const { return ends_at_spaces_; }

    // The merges that the scores mean: rows of two symbols and their product, by rank. Symbols from size() on are
    // characters without a piece.
    const std::vector<Merge>& merges() const { return merges_; }

  private:
    bool is_mergeable(TokenId id) const { return kinds_[id] == PieceKind::kNormal || kinds_[id] == PieceKind::kUnused; }
    void index_pieces();
    void index_characters(bool with_parts);
    void set_symbol(uint32_t code_point, TokenId symbol);
    void merge_by_score(std::span<const float> scores);
    void merge_by_list(std::span<const Merge> merges);
    void note_product(TokenId product);

    std::vector<std::string> pieces_;
    std::vector<PieceKind> kinds_;
    std::unordered_map<std::string_view, TokenId> index_;  // of normal and unused pieces
    std::vector<std::string> extra_characters_;
    std::vector<TokenId> symbols_;  // by code point
    std::vector<Merge> merges_;
    PairTable pairs_{0};
    LongestMatcher user_defined_;
    std::array<TokenId, 256> byte_tokens_{};
    TokenId unknown_ = kNoToken;
    bool has_byte_fallback_;
    bool has_unused_ = false;
    bool ends_at_spaces_ = true;
};

}  // namespace textmill::tokenizer
