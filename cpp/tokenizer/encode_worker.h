// What one thread needs to encode: the pieces that it remembers, and the space to merge those that it does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/piece_merger.h"
#include "tokenizer/token_buffer.h"
#include "tokenizer/vocab.h"
#include "tokenizer/word_cache.h"

namespace textmill::tokenizer {

class EncodeWorker {
  public:
    // The vocabulary must outlive it.
    explicit EncodeWorker(const Vocab& vocab);

    // Ids that encode_pieces may write beyond those that it returns.
    static constexpr size_t kSpareIds = WordCache::kMaxInline;

    // Makes room for the pieces of a long text before they come.
    void prepare(size_t num_bytes) { cache_.prepare(num_bytes); }

    // Writes the ids of pieces, which tile the text up to ends.back(), to `ids`, which has room for one a byte and
    // kSpareIds; returns where they end. `num_padding` bytes after the text may be read.
    TokenId* encode_pieces(std::string_view text, size_t num_padding, std::span<const uint32_t> ends, TokenId* ids);

    PieceEncoder& pieces() { return pieces_; }

    // Space for ids of which only the number matters.
    TokenBuffer scratch;

  private:
    // A piece of the batch that is not remembered, and where its ids stand in merged_.
    struct Unknown {
        std::string_view piece;
        size_t place;  // among the pieces
        TokenId* ids;
        TokenId* end;
    };

    void encode_unknown();
    TokenId* encode_alone(std::string_view piece, TokenId* ids);
    TokenId* encode_part(std::string_view part, TokenId* ids);

    const Vocab& vocab_;
    const bool may_cut_;
    PieceEncoder pieces_;
    WordCache cache_;
    std::vector<Unknown> unknown_;
    TokenBuffer merged_;
};

}  // namespace textmill::tokenizer
