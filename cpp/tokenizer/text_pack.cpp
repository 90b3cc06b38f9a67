#include "tokenizer/text_pack.h"

#include <cstring>

#include "tokenizer/piece_ends.h"

namespace textmill::tokenizer {

void TextPack::add(std::string_view text) {
    char* const begin = bytes_.data() + num_bytes_;
    std::memcpy(begin, text.data(), text.size());
    PieceEnds pieces(splitter_, {begin, text.size()}, bytes_.size() - num_bytes_ - text.size());
    while (pieces.next()) {
        for (const uint32_t end : pieces.ends()) {
            ends_.push_back(static_cast<uint32_t>(num_bytes_ + pieces.begin() + end));
        }
    }
    num_bytes_ += text.size();
    text_ends_.push_back(ends_.size());
}

void TextPack::clear() {
    num_bytes_ = 0;
    ends_.clear();
    text_ends_.clear();
}

}  // namespace textmill::tokenizer
