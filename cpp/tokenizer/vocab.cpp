#include "tokenizer/vocab.h"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

#include "tokenizer/hash.h"
#include "tokenizer/piece_merger.h"

namespace textmill::tokenizer {
namespace {

std::vector<bool> mark(std::span<const TokenId> ids, size_t num_tokens) {
    if (num_tokens > kMaxTokens) {
        throw std::invalid_argument("a vocabulary of " + std::to_string(num_tokens) + " tokens; it may hold " +
                                    std::to_string(kMaxTokens));
    }
    std::vector<bool> marks(num_tokens, false);
    for (const TokenId id : ids) {
        if (id >= num_tokens) {
            throw std::invalid_argument("special token " + std::to_string(id) + " is beyond the last of " +
                                        std::to_string(num_tokens) + " tokens");
        }
        marks[id] = true;
    }
    return marks;
}

std::array<TokenId, 256> index_bytes_of(const TokenTable& tokens, const std::vector<bool>& is_special,
                                        bool drops_bytes) {
    std::array<TokenId, 256> byte_tokens;
    byte_tokens.fill(kNoToken);
    for (TokenId id = 0; id < tokens.size(); ++id) {
        if (tokens[id].size() == 1 && !is_special[id]) {
            TokenId& slot = byte_tokens[static_cast<uint8_t>(tokens[id][0])];
            if (slot != kNoToken) {
                throw std::invalid_argument("tokens " + std::to_string(slot) + " and " + std::to_string(id) +
                                            " are the same byte");
            }
            slot = id;
        }
    }
    for (size_t byte = 0; byte < byte_tokens.size() && !drops_bytes; ++byte) {
        if (byte_tokens[byte] == kNoToken) {
            throw std::invalid_argument("no token is the byte " + std::to_string(byte) +
                                        " alone, so not every text can be encoded");
        }
    }
    return byte_tokens;
}

}  // namespace

Vocab::Vocab(TokenTable tokens, std::span<const Merge> merges, std::span<const TokenId> special_ids, bool whole_pieces,
             bool drops_bytes)
    : tokens_(std::move(tokens)),
      is_special_(mark(special_ids, tokens_.size())),
      byte_tokens_(index_bytes_of(tokens_, is_special_, drops_bytes)),
      merges_(byte_tokens_, merges.size()),
      whole_pieces_(whole_pieces) {
    for (size_t rank = 0; rank < merges.size(); ++rank) {
        check_merge(merges[rank], rank);
        if (!merges_.add(merges[rank])) {
            throw std::invalid_argument("merge " + std::to_string(rank) + " joins the same tokens as an earlier one");
        }
    }
    grams_ = TokenGrams(tokens_, merges_);
    if (whole_pieces_) {
        index_whole_pieces();
    }
}

void Vocab::check_merge(const Merge& merge, size_t rank) const {
    const auto name = [rank] { return "merge " + std::to_string(rank); };
    for (const TokenId id : {merge.left, merge.right, merge.product}) {
        if (id >= tokens_.size()) {
            throw std::invalid_argument(name() + " names token " + std::to_string(id) + ", and there are " +
                                        std::to_string(tokens_.size()));
        }
        if (tokens_[id].empty() || is_special_[id]) {
            throw std::invalid_argument(name() + " names token " + std::to_string(id) +
                                        ", which is a special token or does not exist");
        }
    }
    const std::string_view left = tokens_[merge.left];
    const std::string_view product = tokens_[merge.product];
    if (product.size() != left.size() + tokens_[merge.right].size() || !product.starts_with(left) ||
        !product.ends_with(tokens_[merge.right])) {
        throw std::invalid_argument(name() + " makes a token that is not its two parts together");
    }
}

void Vocab::index_whole_pieces() {
    whole_pieces_index_.assign(std::bit_ceil(2 * tokens_.size() + 2), kNoToken);
    for (TokenId id = 0; id < tokens_.size(); ++id) {
        if (tokens_[id].empty() || is_special_[id]) {
            continue;
        }
        TokenId& slot = whole_pieces_index_[slot_of_piece(tokens_[id])];
        if (slot != kNoToken) {
            throw std::invalid_argument("tokens " + std::to_string(slot) + " and " + std::to_string(id) +
                                        " are the same bytes");
        }
        slot = id;
    }
}

size_t Vocab::slot_of_piece(std::string_view piece) const {
    const size_t mask = whole_pieces_index_.size() - 1;
    size_t slot = static_cast<size_t>(hash_bytes(piece)) & mask;
    while (whole_pieces_index_[slot] != kNoToken && tokens_[whole_pieces_index_[slot]] != piece) {
        slot = (slot + 1) & mask;
    }
    return slot;
}

TokenId Vocab::whole_piece(std::string_view piece) const {
    return whole_pieces_index_[slot_of_piece(piece)];
}

std::vector<Merge> merges_from_ranks(const TokenTable& tokens) {
    const std::array<TokenId, 256> byte_tokens = index_bytes_of(tokens, mark({}, tokens.size()), false);
    MergeTable pairs(byte_tokens, tokens.size());
    PieceMerger merger(byte_tokens, pairs);
    std::vector<Merge> merges;
    std::vector<TokenId> parts;
    for (TokenId id = 0; id < tokens.size(); ++id) {
        if (tokens[id].size() < 2) {
            continue;
        }
        parts.resize(tokens[id].size());
        parts.resize(static_cast<size_t>(merger.merge(tokens[id], parts.data()) - parts.data()));
        if (parts.size() == 2) {
            merges.push_back({parts[0], parts[1], id});
            pairs.add(merges.back());
        } else if (parts.size() == 1) {
            throw std::invalid_argument("tokens " + std::to_string(parts[0]) + " and " + std::to_string(id) +
                                        " are the same bytes");
        }
    }
    return merges;
}

}  // namespace textmill::tokenizer
