#include "tokenizer/piece_ends.h"

#include <stdexcept>
#include <string>

namespace textmill::tokenizer {

bool PieceEnds::next() {
    begin_ = next_begin_;
    if (begin_ == text_.size()) {
        return false;
    }
    if (splitter_.window_rule().family == WindowFamily::kNone) {
        return next_of_scanner();
    }
    num_ends_ =
        splitter_.find_ends()(splitter_.window_rule(), {text_, num_padding_}, begin_, ends_.data(), ends_.size());
    if (num_ends_ == 0) {  // a piece longer than a window
        Piece piece{};
        Scanner(splitter_, text_.substr(begin_)).next(piece);
        if (piece.end > UINT32_MAX) {
            throw std::length_error("a piece of " + std::to_string(piece.end) + " bytes is longer than 4 GiB");
        }
        ends_[num_ends_++] = static_cast<uint32_t>(piece.end);
    }
    next_begin_ = begin_ + ends_[num_ends_ - 1];
    return true;
}

bool PieceEnds::next_of_scanner() {
    if (!scanner_) {
        scanner_.emplace(splitter_, text_);
    }
    num_ends_ = 0;
    Piece piece{};
    while (num_ends_ < ends_.size() && scanner_->next(piece)) {
        if (piece.end - begin_ > UINT32_MAX) {
            throw std::length_error("pieces of " + std::to_string(piece.end - begin_) + " bytes are longer than 4 GiB");
        }
        ends_[num_ends_++] = static_cast<uint32_t>(piece.end - begin_);
        next_begin_ = piece.end;
    }
    return num_ends_ > 0;
}

}  // namespace textmill::tokenizer
