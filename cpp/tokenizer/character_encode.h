// From text to token ids as sentencepiece and Hugging Face's BPE over characters make them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tokenizer/character_normalizer.h"
#include "tokenizer/character_vocab.h"
#include "tokenizer/encode.h"

namespace textmill::tokenizer {

// A part of the normalised text that no merge leaves, and how much of the trace it has.
struct Word {
    size_t begin;
    size_t end;
    size_t num_steps;
    size_t num_tokens;
};

// What a normalised text became. `ends` and the places of steps are bytes of it.
struct EncodedText {
    std::vector<TokenId> ids;
    std::vector<size_t> ends;
    std::vector<Word> words;
    std::vector<MergeStep> steps;  // a symbol that is no token is named by the unknown token
};

struct MergerRules {
    bool fuse_unknown = true;   // neighbours without a piece are one unknown token
    bool splits_words = false;  // a word ends before each space symbol (Metaspace with split)
    bool whole_words = false;   // a word that is a piece is not merged (ignore_merges)
};

// Merges the characters of one normalised text: the pair of lowest rank first, the leftmost of equals, from a heap, in
// O(n log n). Holds scratch space: each thread has its own.
class CharacterMerger {
  public:
    CharacterMerger(const CharacterVocab& vocab, MergerRules rules, bool with_trace)
        : vocab_(vocab), rules_(rules), with_trace_(with_trace) {}

    void encode(std::string_view text, EncodedText& encoded);

  private:
    struct Symbol {
        TokenId id;
        uint32_t begin;
        uint32_t end;
        uint32_t rank = kNoRank;     // of the merge with the next symbol, kNoRank where there is none
        TokenId product = kNoToken;  // of that merge
        uint32_t previous = 0;
        uint32_t next = 0;
    };

    bool is_cut(std::string_view text, size_t at, bool follows_space) const;
    void encode_word(std::string_view text, size_t begin, size_t end, EncodedText& encoded);
    void merge_symbols(EncodedText& encoded);
    void rank_pair(uint32_t at);
    void push(uint32_t at);
    bool is_unused(TokenId id) const;
    void emit(const Symbol& symbol, std::string_view text, EncodedText& encoded);
    void emit_unused(const Symbol& symbol, std::string_view text, EncodedText& encoded);
    void emit_symbol(TokenId id, size_t begin, size_t end, std::string_view text, EncodedText& encoded);
    void add_token(TokenId id, size_t end, EncodedText& encoded) const;

    const CharacterVocab& vocab_;
    const MergerRules rules_;
    const bool with_trace_;
    bool follows_unknown_ = false;
    std::vector<Symbol> symbols_;
    std::vector<uint64_t> heap_;  // rank << 32 | place; stale entries are dropped when they surface
    // How an unused piece is taken apart: the pair that was last seen to make it, as sentencepiece does.
    std::unordered_map<TokenId, std::pair<TokenId, TokenId>> parts_of_unused_;
};

// Token ids of a text, and the byte of the original text where each ends.
struct SpannedTokens {
    std::vector<TokenId> ids;
    std::vector<int64_t> ends;
};

struct CharacterTrace {
    std::string text;  // normalised
    EncodedText encoded;
    std::vector<uint32_t> origins;  // of each byte of the normalised text, and of its end
};

// Encodes ordinary text; it never makes a control token. Immutable and safe to share between threads.
class CharacterEncoder {
  public:
    CharacterEncoder(std::shared_ptr<const CharacterVocab> vocab, NormalizerRules normalizer_rules,
                     std::string_view charsmap, MergerRules merger_rules);

    const CharacterVocab& vocab() const { return *vocab_; }

    std::vector<TokenId> encode(std::string_view text) const;
    SpannedTokens encode_with_spans(std::string_view text) const;
    EncodedBatch encode_batch(std::span<const std::string_view> texts, unsigned num_threads) const;
    CharacterTrace trace(std::string_view text) const;

  private:
    const std::shared_ptr<const CharacterVocab> vocab_;
    const CharacterNormalizer normalizer_;
    const MergerRules merger_rules_;
};

}  // namespace textmill::tokenizer
