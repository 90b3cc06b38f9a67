// What one thread needs to encode: the pieces that it remembers, and the space to merge those that it does not.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/piece_ends.h"
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

    // Looks up or merges pieces, which tile the text from `begin` to ends.back(), PieceEnds::kMaxEnds of them at most.
    // `num_padding` bytes after the text may be read.
    void look_up(std::string_view text, size_t num_padding, size_t begin, std::span<const uint32_t> ends);

    // Writes the ids of the pieces from `first` to `last` of those that were looked up, once each and in order, to
    // `ids`, which has room for one a byte and kSpareIds; returns where they end.
    TokenId* write(size_t first, size_t last, TokenId* ids);

    // Both, for the pieces of a text that begins with the first of them.
    TokenId* encode_pieces(std::string_view text, size_t num_padding, std::span<const uint32_t> ends, TokenId* ids) {
        look_up(text, num_padding, 0, ends);
        return write(0, ends.size(), ids);
    }

    PieceEncoder& pieces() { return pieces_; }

    // Gives back the space that a long text took, but for the cache.
    void release_scratch() {
        constexpr size_t kKeptIds = size_t{1} << 16;
        for (TokenBuffer* const buffer : {&scratch, &merged_}) {
            if (buffer->capacity() > kKeptIds) {
                *buffer = TokenBuffer();
            }
        }
    }

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
    std::array<WordCache::Value, PieceEnds::kMaxEnds> known_;  // of the batch
    std::vector<Unknown> unknown_;
    size_t next_unknown_ = 0;  // to write
    TokenBuffer merged_;
};

}  // namespace textmill::tokenizer
