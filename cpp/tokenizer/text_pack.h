// Short texts side by side, so that the pieces of many make one batch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "tokenizer/scanner.h"

namespace textmill::tokenizer {

class TextPack {
  public:
    // Longer texts fill batches by themselves.
    static constexpr size_t kMaxText = 1024;
    static constexpr size_t kBytes = size_t{1} << 13;
    static constexpr size_t kPadding = 64;

    // The splitter must outlive it.
    explicit TextPack(const Splitter& splitter) : splitter_(splitter) {}

    bool has_room(std::string_view text) const { return num_bytes_ + text.size() <= kBytes; }
    void add(std::string_view text);
    void clear();

    bool is_empty() const { return text_ends_.empty(); }

    // The texts, after which kPadding bytes may be read; where their pieces end in them, and how many pieces there are
    // up to the end of each text.
    std::string_view bytes() const { return {bytes_.data(), num_bytes_}; }
    std::span<const uint32_t> ends() const { return ends_; }
    std::span<const size_t> text_ends() const { return text_ends_; }

  private:
    const Splitter& splitter_;
    std::array<char, kBytes + kPadding> bytes_{};
    size_t num_bytes_ = 0;
    std::vector<uint32_t> ends_;
    std::vector<size_t> text_ends_;
};

}  // namespace textmill::tokenizer
