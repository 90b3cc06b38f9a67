#include "tokenizer/token_table.h"

#include <stdexcept>

namespace textmill::tokenizer {

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

}  // namespace textmill::tokenizer
