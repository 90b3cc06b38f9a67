#include "tokenizer/vocab.h"

#include <bit>
#include <stdexcept>
#include <utility>

#include "tokenizer/hash.h"
#include "tokenizer/piece_merger.h"

namespace textmill::tokenizer {
namespace {

std::vector<bool> mark(std::span<const TokenId> ids, size_t num_tokens) {
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

TokenTable::TokenTable(const std::vector<std::string>& tokens) {
    ends_.reserve(tokens.size() + 1);
    for (const std::string& token : tokens) {
        push_back(token);
    }
}

void TokenTable::push_back(std::string_view token) {
    if (token.size() > UINT32_MAX - bytes_.size()) {
        throw std::length_error("the tokens of a vocabulary hold more than 4 GiB together");
    }
    bytes_.append(token);
    ends_.push_back(static_cast<uint32_t>(bytes_.size()));
}

PairTable::PairTable(size_t num_pairs)
    : slots_(std::bit_ceil(2 * num_pairs + 2)),
      mask_(slots_.size() - 1),
      shift_(64 - static_cast<unsigned>(std::bit_width(mask_))) {}

bool PairTable::insert(TokenId left, TokenId right, RankedProduct value) {
    const uint64_t key = key_of(left, right);
    size_t slot = slot_of(key);
    while (slots_[slot].key != kEmptyKey) {
        if (slots_[slot].key == key) {
            return false;
        }
        slot = (slot + 1) & mask_;
    }
    slots_[slot] = {key, value};
    return true;
}

Vocab::Vocab(TokenTable tokens, std::span<const Merge> merges, std::span<const TokenId> special_ids, bool whole_pieces,
             bool drops_bytes)
    : tokens_(std::move(tokens)), pairs_(merges.size()), whole_pieces_(whole_pieces) {
    if (tokens_.size() > kMaxTokens) {
        throw std::invalid_argument("a vocabulary of " + std::to_string(tokens_.size()) + " tokens; it may hold " +
                                    std::to_string(kMaxTokens));
    }
    const std::vector<bool> is_special = mark(special_ids, tokens_.size());
    byte_tokens_ = index_bytes_of(tokens_, is_special, drops_bytes);
    for (size_t rank = 0; rank < merges.size(); ++rank) {
        const auto& [left, right, product] = merges[rank];
        check_merge(merges[rank], rank, is_special);
        if (!pairs_.insert(left, right, {static_cast<uint32_t>(rank), product})) {
            throw std::invalid_argument("merge " + std::to_string(rank) + " joins the same tokens as an earlier one");
        }
    }
    if (whole_pieces_) {
        index_whole_pieces(is_special);
    }
}

void Vocab::check_merge(const Merge& merge, size_t rank, const std::vector<bool>& is_special) const {
    const auto name = [rank] { return "merge " + std::to_string(rank); };
    for (const TokenId id : {merge.left, merge.right, merge.product}) {
        if (id >= tokens_.size()) {
            throw std::invalid_argument(name() + " names token " + std::to_string(id) + ", and there are " +
                                        std::to_string(tokens_.size()));
        }
        if (tokens_[id].empty() || is_special[id]) {
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

void Vocab::index_whole_pieces(const std::vector<bool>& is_special) {
    whole_pieces_index_.assign(std::bit_ceil(2 * tokens_.size() + 2), kNoToken);
    for (TokenId id = 0; id < tokens_.size(); ++id) {
        if (tokens_[id].empty() || is_special[id]) {
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
    const std::array<TokenId, 256> byte_tokens = index_bytes_of(tokens, std::vector<bool>(tokens.size(), false), false);
    PairTable pairs(tokens.size());
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
            pairs.insert(parts[0], parts[1], {static_cast<uint32_t>(merges.size()), id});
            merges.push_back({parts[0], parts[1], id});
        } else if (parts.size() == 1) {
            throw std::invalid_argument("tokens " + std::to_string(parts[0]) + " and " + std::to_string(id) +
                                        " are the same bytes");
        }
    }
    return merges;
}

}  // namespace textmill::tokenizer
