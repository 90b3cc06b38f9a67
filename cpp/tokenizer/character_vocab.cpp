#include "tokenizer/character_vocab.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <numeric>
#include <stdexcept>

#include "tokenizer/unicode.h"

namespace textmill::tokenizer {
namespace {

// Every place of a text where such a piece may stand is compared with it.
constexpr size_t kMaxUserDefinedBytes = 1024;

std::string byte_name(size_t byte) {
    std::array<char, 8> name{};
    std::snprintf(name.data(), name.size(), "<0x%02X>", static_cast<unsigned>(byte));
    return name.data();
}

}  // namespace

LongestMatcher::LongestMatcher(std::vector<std::pair<std::string_view, TokenId>> texts) : texts_(std::move(texts)) {
    std::sort(texts_.begin(), texts_.end());
    for (uint32_t i = 0; i < texts_.size(); ++i) {
        auto& [begin, end] = by_first_byte_[static_cast<uint8_t>(texts_[i].first[0])];
        begin = end == 0 ? i : begin;
        end = i + 1;
    }
}

LongestMatcher::Match LongestMatcher::match(std::string_view text) const {
    Match longest{0, kNoToken};
    if (texts_.empty() || text.empty()) {
        return longest;
    }
    auto [begin, end] = by_first_byte_[static_cast<uint8_t>(text[0])];
    for (size_t depth = 1; begin < end; ++depth) {
        // All of [begin, end) start with the first `depth` bytes of the text; the shortest of them comes first.
        if (texts_[begin].first.size() == depth) {
            longest = {depth, texts_[begin].second};
            ++begin;
        }
        if (depth == text.size()) {
            break;
        }
        const auto byte = static_cast<uint8_t>(text[depth]);
        const auto at = [&](uint32_t i) { return texts_.begin() + i; };
        const auto byte_of = [depth](const auto& entry) { return static_cast<uint8_t>(entry.first[depth]); };
        const auto low = std::partition_point(at(begin), at(end), [&](const auto& e) { return byte_of(e) < byte; });
        const auto high = std::partition_point(low, at(end), [&](const auto& e) { return byte_of(e) <= byte; });
        begin = static_cast<uint32_t>(low - texts_.begin());
        end = static_cast<uint32_t>(high - texts_.begin());
    }
    return longest;
}

CharacterVocab::CharacterVocab(std::vector<std::string> pieces, std::vector<PieceKind> kinds,
                               std::span<const float> scores, std::span<const Merge> merges, bool has_byte_fallback)
    : pieces_(std::move(pieces)), kinds_(std::move(kinds)), has_byte_fallback_(has_byte_fallback) {
    if (kinds_.size() != pieces_.size() || (!scores.empty() && scores.size() != pieces_.size())) {
        throw std::invalid_argument(std::to_string(pieces_.size()) + " pieces have " + std::to_string(kinds_.size()) +
                                    " kinds and " + std::to_string(scores.size()) + " scores");
    }
    if (pieces_.size() >= (size_t{1} << 30)) {
        throw std::invalid_argument("a vocabulary holds fewer than 2^30 pieces");
    }
    index_pieces();
    index_characters(!scores.empty());
    if (scores.empty()) {
        merge_by_list(merges);
    } else {
        merge_by_score(scores);
    }
}

void CharacterVocab::index_pieces() {
    byte_tokens_.fill(kNoToken);
    std::unordered_map<std::string, size_t> byte_of_name;
    for (size_t byte = 0; byte < 256; ++byte) {
        byte_of_name[byte_name(byte)] = byte;
    }
    std::unordered_map<std::string_view, TokenId> owners;
    std::vector<std::pair<std::string_view, TokenId>> user_defined;
    for (TokenId id = 0; id < pieces_.size(); ++id) {
        if (kinds_[id] == PieceKind::kHole) {
            continue;
        }
        const auto name = [id] { return "piece " + std::to_string(id); };
        if (pieces_[id].empty()) {
            throw std::invalid_argument(name() + " is empty");
        }
        const auto [owner, is_new] = owners.emplace(pieces_[id], id);
        if (!is_new) {
            throw std::invalid_argument("pieces " + std::to_string(owner->second) + " and " + std::to_string(id) +
                                        " have the same text");
        }
        if (is_mergeable(id)) {
            index_.emplace(pieces_[id], id);
        } else if (kinds_[id] == PieceKind::kUserDefined) {
            if (pieces_[id].size() > kMaxUserDefinedBytes) {
                throw std::invalid_argument(name() + " is user-defined and holds " +
                                            std::to_string(pieces_[id].size()) + " bytes; it may hold " +
                                            std::to_string(kMaxUserDefinedBytes));
            }
            user_defined.emplace_back(pieces_[id], id);
        } else if (kinds_[id] == PieceKind::kUnknown) {
            if (unknown_ != kNoToken) {
                throw std::invalid_argument("pieces " + std::to_string(unknown_) + " and " + std::to_string(id) +
                                            " both stand for what is unknown");
            }
            unknown_ = id;
        } else if (kinds_[id] == PieceKind::kByte) {
            const auto found = byte_of_name.find(pieces_[id]);
            if (found == byte_of_name.end()) {
                throw std::invalid_argument(name() + " is a byte and is not written as one, such as <0x0A>");
            }
            byte_tokens_[found->second] = id;
        } else if (kinds_[id] != PieceKind::kControl) {
            throw std::invalid_argument(name() + " is of an unknown kind");
        }
    }
    user_defined_ = LongestMatcher(std::move(user_defined));
    if (!has_byte_fallback_ && unknown_ == kNoToken) {
        throw std::invalid_argument("there is neither byte fallback nor an unknown token, so text would be lost");
    }
    for (size_t byte = 0; has_byte_fallback_ && byte < 256; ++byte) {
        if (byte_tokens_[byte] == kNoToken) {
            throw std::invalid_argument("there is byte fallback and no piece " + byte_name(byte));
        }
    }
}

void CharacterVocab::set_symbol(uint32_t code_point, TokenId symbol) {
    if (code_point >= symbols_.size()) {
        symbols_.resize(code_point + 1, kNoToken);
    }
    symbols_[code_point] = symbol;
}

// With parts, characters that are no piece by themselves become symbols too, as sentencepiece merges those.
void CharacterVocab::index_characters(bool with_parts) {
    for (TokenId id = 0; id < pieces_.size(); ++id) {
        if (is_mergeable(id)) {
            const Char first = char_at(pieces_[id], 0);
            if (first.code_point == kInvalidByte) {
                throw std::invalid_argument("piece " + std::to_string(id) + " is not UTF-8");
            }
            if (first.num_bytes == pieces_[id].size()) {
                set_symbol(first.code_point, id);
            }
        }
    }
    for (TokenId id = 0; with_parts && id < pieces_.size(); ++id) {
        for (size_t at = 0; is_mergeable(id) && at < pieces_[id].size();) {
            const Char character = char_at(pieces_[id], at);
            if (character.code_point == kInvalidByte) {
                throw std::invalid_argument("piece " + std::to_string(id) + " is not UTF-8");
            }
            if (symbol_of(character.code_point) == kNoToken) {
                set_symbol(character.code_point, static_cast<TokenId>(pieces_.size() + extra_characters_.size()));
                extra_characters_.push_back(pieces_[id].substr(at, character.num_bytes));
            }
            at += character.num_bytes;
        }
    }
}

void CharacterVocab::note_product(TokenId product) {
    const std::string& text = pieces_[product];
    has_unused_ = has_unused_ || kinds_[product] == PieceKind::kUnused;
    for (size_t at = text.find(kSpaceSymbol, 1); at != std::string::npos; at = text.find(kSpaceSymbol, at + 1)) {
        const bool follows_space =
            at >= kSpaceSymbol.size() && text.compare(at - kSpaceSymbol.size(), kSpaceSymbol.size(), kSpaceSymbol) == 0;
        ends_at_spaces_ = ends_at_spaces_ && follows_space;
    }
}

// All pairs that make one piece have the rank of that piece, and pieces of equal score have equal ranks.
void CharacterVocab::merge_by_score(std::span<const float> scores) {
    std::vector<float> sorted;
    for (TokenId id = 0; id < pieces_.size(); ++id) {
        if (is_mergeable(id)) {
            if (!(scores[id] == scores[id])) {
                throw std::invalid_argument("the score of piece " + std::to_string(id) + " is not a number");
            }
            sorted.push_back(scores[id]);
        }
    }
    std::sort(sorted.begin(), sorted.end(), std::greater<>());
    sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
    const auto rank_of = [&](TokenId id) {
        return static_cast<uint32_t>(std::lower_bound(sorted.begin(), sorted.end(), scores[id], std::greater<>()) -
                                     sorted.begin());
    };
    const auto symbol_of_text = [this](std::string_view text) {
        const Char character = char_at(text, 0);
        return character.num_bytes == text.size() ? symbol_of(character.code_point) : piece(text);
    };
    for (TokenId id = 0; id < pieces_.size(); ++id) {
        const std::string_view text = pieces_[id];
        if (!is_mergeable(id)) {
            continue;
        }
        for (size_t at = char_at(text, 0).num_bytes; at < text.size(); at += char_at(text, at).num_bytes) {
            const TokenId left = symbol_of_text(text.substr(0, at));
            const TokenId right = left == kNoToken ? kNoToken : symbol_of_text(text.substr(at));
            if (right != kNoToken) {
                merges_.push_back({left, right, id});
                note_product(id);
            }
        }
    }
    std::stable_sort(merges_.begin(), merges_.end(),
                     [&](const Merge& a, const Merge& b) { return scores[a.product] > scores[b.product]; });
    pairs_ = PairTable(merges_.size());
    for (const Merge& merge : merges_) {
        pairs_.insert(merge.left, merge.right, {rank_of(merge.product), merge.product});
    }
}

void CharacterVocab::merge_by_list(std::span<const Merge> merges) {
    pairs_ = PairTable(merges.size());
    for (size_t rank = 0; rank < merges.size(); ++rank) {
        const Merge& merge = merges[rank];
        const auto name = [rank] { return "merge " + std::to_string(rank); };
        for (const TokenId id : {merge.left, merge.right, merge.product}) {
            if (id >= pieces_.size() || !is_mergeable(id)) {
                throw std::invalid_argument(name() + " names token " + std::to_string(id) +
                                            ", which is a special token, stands for a byte, or does not exist");
            }
        }
        if (pieces_[merge.left] + pieces_[merge.right] != pieces_[merge.product]) {
            throw std::invalid_argument(name() + " makes a token that is not its two parts together");
        }
        if (!pairs_.insert(merge.left, merge.right, {static_cast<uint32_t>(rank), merge.product})) {
            throw std::invalid_argument(name() + " joins the same tokens as an earlier one");
        }
        note_product(merge.product);
    }
    merges_.assign(merges.begin(), merges.end());
}

TokenId CharacterVocab::piece(std::string_view text) const {
    const auto found = index_.find(text);
    return found == index_.end() ? kNoToken : found->second;
}

}  // namespace textmill::tokenizer
