#include "text/phrases.h"

#include <algorithm>

#include "tokenizer/unicode.h"

namespace textmill::text {
namespace {

using tokenizer::Char;
using tokenizer::CharClass;

bool is_word_character(uint32_t code_point) {
    const CharClass char_class = tokenizer::class_of(code_point);
    return char_class == CharClass::kLetter || char_class == CharClass::kNumber || code_point == '_';
}

bool ends_at(std::string_view text, size_t at) {
    return at == text.size() || !is_word_character(tokenizer::char_at(text, at).code_point);
}

}  // namespace

PhraseList::PhraseList(std::span<const std::string_view> phrases) : phrases_(phrases.begin(), phrases.end()) {
    std::erase(phrases_, "");
    std::sort(phrases_.begin(), phrases_.end());
    for (size_t i = 0; i < phrases_.size(); ++i) {
        const uint32_t first = tokenizer::char_at(phrases_[i], 0).code_point;
        by_first_character_.try_emplace(first, i, i).first->second.second = i + 1;
    }
}

bool PhraseList::is_in(std::string_view text) const {
    bool is_behind_word = false;
    for (size_t at = 0; at < text.size();) {
        const Char character = tokenizer::char_at(text, at);
        if (!is_behind_word) {
            const auto found = by_first_character_.find(character.code_point);
            if (found != by_first_character_.end()) {
                for (size_t i = found->second.first; i < found->second.second; ++i) {
                    if (text.substr(at).starts_with(phrases_[i]) && ends_at(text, at + phrases_[i].size())) {
                        return true;
                    }
                }
            }
        }
        is_behind_word = is_word_character(character.code_point);
        at += character.num_bytes;
    }
    return false;
}

}  // namespace textmill::text
