#include "tokenizer/character_normalizer.h"

#include <algorithm>
#include <stdexcept>

#include "tokenizer/unicode.h"

namespace textmill::tokenizer {
namespace {

// Origins are 32 bits, and a charsmap may lengthen a text.
constexpr size_t kMaxTextBytes = size_t{1} << 30;
constexpr size_t kMaxNormalizedBytes = (size_t{1} << 32) - 1024;
constexpr size_t kMaxReplacementBytes = 512;  // NFKC's longest is 33
// A table may lead round in circles, and then every place of a text would be followed to its end.
constexpr size_t kMaxReplacedBytes = 512;

constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

uint32_t little_endian(std::string_view bytes, size_t at) {
    uint32_t value = 0;
    for (size_t i = 4; i-- > 0;) {
        value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
    }
    return value;
}

// The fields of a unit of a Darts double array (Darts-clone's darts.h).
uint32_t offset_of(uint32_t unit) {
    return (unit >> 10) << ((unit & (1U << 9)) >> 6);
}
bool has_leaf(uint32_t unit) {
    return (unit >> 8 & 1) != 0;
}
uint32_t label_of(uint32_t unit) {
    return unit & (1U << 31 | 0xFF);
}
uint32_t value_of(uint32_t unit) {
    return unit & ~(1U << 31);
}

}  // namespace

Charsmap::Charsmap(std::string_view blob) {
    if (blob.empty()) {
        return;
    }
    const size_t trie_bytes = blob.size() < 4 ? 0 : little_endian(blob, 0);
    if (blob.size() < 4 || trie_bytes == 0 || trie_bytes % 4 != 0 || trie_bytes >= blob.size() - 4) {
        throw std::invalid_argument("the precompiled charsmap of " + std::to_string(blob.size()) +
                                    " bytes claims a table of " + std::to_string(trie_bytes));
    }
    for (size_t at = 4; at < 4 + trie_bytes; at += 4) {
        units_.push_back(little_endian(blob, at));
    }
    replacements_ = blob.substr(4 + trie_bytes);
    for (size_t begin = 0; begin < replacements_.size();) {
        const size_t end = replacements_.find('\0', begin);
        if (end == std::string::npos || end - begin > kMaxReplacementBytes) {
            throw std::invalid_argument("a replacement of the precompiled charsmap has no end within " +
                                        std::to_string(kMaxReplacementBytes) + " bytes");
        }
        begin = end + 1;
    }
}

Charsmap::Rule Charsmap::find(std::string_view text) const {
    Rule rule{{}, 0};
    if (units_.empty()) {
        return rule;
    }
    size_t node = offset_of(units_[0]);
    for (size_t at = 0; at < text.size(); ++at) {
        if (at == kMaxReplacedBytes) {
            throw std::invalid_argument("the precompiled charsmap follows a text for more than " +
                                        std::to_string(kMaxReplacedBytes) + " bytes; it is damaged");
        }
        const auto byte = static_cast<uint8_t>(text[at]);
        node ^= byte;
        if (node >= units_.size() || label_of(units_[node]) != byte) {
            break;
        }
        const bool is_end = has_leaf(units_[node]);
        node ^= offset_of(units_[node]);
        if (is_end && node < units_.size() && value_of(units_[node]) < replacements_.size()) {
            const char* replacement = replacements_.data() + value_of(units_[node]);  // ends in a zero, as all do
            rule = {std::string_view(replacement), at + 1};
        }
    }
    return rule;
}

CharacterNormalizer::Chunk CharacterNormalizer::next_chunk(std::string_view text) const {
    const LongestMatcher::Match user_defined = vocab_.user_defined().match(text);
    if (user_defined.num_bytes > 0) {
        return {text.substr(0, user_defined.num_bytes), user_defined.num_bytes};
    }
    const Charsmap::Rule rule = charsmap_.find(text);
    if (rule.num_bytes > 0) {
        return {rule.replacement, rule.num_bytes};
    }
    const Char character = char_at(text, 0);
    if (character.code_point == kInvalidByte && !vocab_.has_byte_fallback()) {
        return {kReplacementCharacter, 1};
    }
    return {text.substr(0, character.num_bytes), character.num_bytes};
}

void CharacterNormalizer::append(std::string_view bytes, size_t origin, size_t step, NormalizedText& normalized,
                                 bool with_origins) const {
    const std::string_view space = rules_.escape_spaces ? kSpaceSymbol : " ";
    for (size_t i = 0; i < bytes.size(); ++i) {
        const std::string_view written = bytes[i] == ' ' ? space : bytes.substr(i, 1);
        normalized.text += written;
        if (with_origins) {
            normalized.origins.insert(normalized.origins.end(), written.size(),
                                      static_cast<uint32_t>(origin + i * step));
        }
    }
}

NormalizedText CharacterNormalizer::normalize(std::string_view text, bool with_origins) const {
    if (text.size() > kMaxTextBytes) {
        throw std::length_error("a text of " + std::to_string(text.size()) + " bytes is longer than 1 GiB; cut it");
    }
    NormalizedText normalized;
    normalized.text.reserve(text.size() + text.size() / 2 + kSpaceSymbol.size());
    size_t at = 0;
    if (rules_.remove_extra_spaces) {
        while (at < text.size() && next_chunk(text.substr(at)).text == " ") {
            at += next_chunk(text.substr(at)).num_bytes;
        }
    }
    const bool has_dummy = at < text.size() && needs_dummy(text.substr(at));
    if (has_dummy && !rules_.dummy_suffix) {
        append(" ", at, 0, normalized, with_origins);
    }
    bool follows_space = rules_.remove_extra_spaces;
    while (at < text.size()) {
        const Chunk chunk = next_chunk(text.substr(at));
        const size_t num_skipped = follows_space ? std::min(chunk.text.find_first_not_of(' '), chunk.text.size()) : 0;
        const std::string_view kept = chunk.text.substr(num_skipped);
        const bool is_verbatim = chunk.text.data() == text.data() + at;
        append(kept, is_verbatim ? at + num_skipped : at, is_verbatim ? 1 : 0, normalized, with_origins);
        if (rules_.remove_extra_spaces && !kept.empty()) {
            follows_space = kept.back() == ' ';
        }
        at += chunk.num_bytes;
        if (normalized.text.size() > kMaxNormalizedBytes) {
            throw std::length_error("the charsmap makes more than 4 GiB of this text; cut it");
        }
    }
    if (rules_.remove_extra_spaces) {
        const std::string_view space = rules_.escape_spaces ? kSpaceSymbol : " ";
        while (normalized.text.ends_with(space)) {
            normalized.text.resize(normalized.text.size() - space.size());
        }
    }
    if (has_dummy && rules_.dummy_suffix) {
        append(" ", at, 0, normalized, with_origins);
    }
    if (with_origins) {
        normalized.origins.resize(normalized.text.size());
        normalized.origins.push_back(static_cast<uint32_t>(text.size()));
    }
    return normalized;
}

bool CharacterNormalizer::needs_dummy(std::string_view text) const {
    const bool begins_with_space = text.starts_with(' ') || text.starts_with(kSpaceSymbol);
    return rules_.dummy_prefix == DummyPrefix::kAlways ||
           (rules_.dummy_prefix == DummyPrefix::kUnlessThere && !begins_with_space);
}

}  // namespace textmill::tokenizer
