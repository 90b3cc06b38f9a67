// The bytes of tokens by id, one after the other in one string.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/token_buffer.h"

namespace textmill::tokenizer {

class TokenTable {
  public:
    TokenTable() = default;
    // Implicit: a list of tokens is a table of them.
    TokenTable(const std::vector<std::string>& tokens);  // NOLINT(google-explicit-constructor)

    // Throws std::length_error for more than 4 GiB in all.
    void push_back(std::string_view token);

    size_t size() const { return ends_.size() - 1; }
    std::string_view operator[](TokenId id) const {
        return std::string_view(bytes_).substr(ends_[id], ends_[id + 1] - ends_[id]);
    }

  private:
    std::string bytes_;
    std::vector<uint32_t> ends_ = {0};  // of the token before each
};

}  // namespace textmill::tokenizer
