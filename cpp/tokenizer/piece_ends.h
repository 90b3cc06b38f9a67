// The pieces of a text in batches of their ends: by windows where the pattern has them, and by its own matcher
// elsewhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "tokenizer/scanner.h"

namespace textmill::tokenizer {

class PieceEnds {
  public:
    static constexpr size_t kMaxEnds = 512;

    // The splitter and the text must outlive it. `num_padding` bytes after the text may be read.
    PieceEnds(const Splitter& splitter, std::string_view text, size_t num_padding = 0)
        : splitter_(splitter), text_(text), num_padding_(num_padding) {}

    // Moves to the next batch; false at the end of the text. The pieces tile the text from begin() on.
    bool next();

    // Where the batch begins in the text, and the end of each of its pieces in bytes from there.
    size_t begin() const { return begin_; }
    std::span<const uint32_t> ends() const { return {ends_.data(), num_ends_}; }

  private:
    bool next_of_scanner();

    const Splitter& splitter_;
    std::string_view text_;
    size_t num_padding_;
    size_t begin_ = 0;
    size_t next_begin_ = 0;
    size_t num_ends_ = 0;
    std::optional<Scanner> scanner_;  // where there are no windows
    std::array<uint32_t, kMaxEnds> ends_;
};

}  // namespace textmill::tokenizer
