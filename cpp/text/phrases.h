// Words and phrases of a list, found in texts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace textmill::text {

class PhraseList {
  public:
    explicit PhraseList(std::span<const std::string_view> phrases);

    // Whether a phrase is in the text, its neighbours being no letters, numbers or _ (Python's \w).
    bool is_in(std::string_view text) const;

  private:
    std::vector<std::string> phrases_;  // those that begin with the same character are neighbours
    std::unordered_map<uint32_t, std::pair<size_t, size_t>> by_first_character_;  // first and last + 1
};

}  // namespace textmill::text
