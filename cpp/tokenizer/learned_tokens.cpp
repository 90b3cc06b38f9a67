#include "tokenizer/learned_tokens.h"

#include <algorithm>
#include <string_view>

namespace textmill::tokenizer {

LearnedTokens::LearnedTokens(const std::vector<std::string>& tokens, const std::vector<std::string>& never,
                             size_t max_length)
    : max_length_(max_length), never_(never) {
    bool has_merged = false;
    for (const std::string& token : tokens) {
        lengths_.push_back(static_cast<uint32_t>(token.size()));
        has_merged |= token.size() > 1;
    }
    if (has_merged || !never.empty()) {
        bytes_ = tokens;
    }
    // A vocabulary of bytes alone cannot hold what a merge is about to make.
    for (TokenId id = 0; has_merged && id < tokens.size(); ++id) {
        existing_.emplace(tokens[id], id);
    }
}

bool LearnedTokens::may_merge(TokenId left, TokenId right) const {
    const size_t length = size_t{lengths_[left]} + lengths_[right];
    if (max_length_ > 0 && length >= max_length_ && length > 2) {
        return false;
    }
    return std::none_of(never_.begin(), never_.end(), [&](std::string_view text) {
        return text.size() == length && text.starts_with(bytes_[left]) && text.ends_with(bytes_[right]);
    });
}

TokenId LearnedTokens::merge(TokenId left, TokenId right) {
    const auto product = static_cast<TokenId>(size());
    if (!existing_.empty()) {
        // A token that is there stands nowhere in the corpus: its bytes alone would become it, not this pair.
        const auto [known, is_new] = existing_.emplace(bytes_[left] + bytes_[right], product);
        if (!is_new) {
            return known->second;
        }
    }
    if (!bytes_.empty()) {
        bytes_.push_back(bytes_[left] + bytes_[right]);
    }
    lengths_.push_back(lengths_[left] + lengths_[right]);
    return product;
}

size_t LearnedTokens::memory_bytes() const {
    constexpr size_t kNodeBytes = 32;  // of a hash table, beside what it holds
    return lengths_.capacity() * sizeof(uint32_t) + bytes_.capacity() * sizeof(std::string) +
           existing_.size() * (kNodeBytes + sizeof(std::pair<std::string, TokenId>));
}

}  // namespace textmill::tokenizer
