// What sentencepiece does to a text before it cuts it up: spaces become U+2581, and a charsmap may replace characters.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/character_vocab.h"

namespace textmill::tokenizer {

enum class DummyPrefix : uint8_t {
    kNever = 0,
    kAlways = 1,       // a space symbol before every text
    kUnlessThere = 2,  // only before a text that does not begin with one
};

struct NormalizerRules {
    DummyPrefix dummy_prefix = DummyPrefix::kNever;
    bool dummy_suffix = false;         // the dummy space stands behind the text (treat_whitespace_as_suffix)
    bool remove_extra_spaces = false;  // at both ends, and all but one of several
    bool escape_spaces = true;         // spaces become U+2581
};

struct NormalizedText {
    std::string text;
    // For each byte of the text, and its end: where what it was made of begins in the original. Empty unless asked for.
    std::vector<uint32_t> origins;
};

// sentencepiece's precompiled_charsmap: a Darts double array, from the longest text that stands at a place to what
// replaces it. Every index that it holds is checked when it is followed.
class Charsmap {
  public:
    Charsmap() = default;
    // Throws std::invalid_argument where the sizes in it do not fit. An empty one replaces nothing.
    explicit Charsmap(std::string_view blob);

    struct Rule {
        std::string_view replacement;
        size_t num_bytes;  // of the text that is replaced, 0 where there is no rule
    };
    // Throws std::invalid_argument where the table goes on for more bytes than any table of characters does.
    Rule find(std::string_view text) const;

  private:
    std::vector<uint32_t> units_;
    std::string replacements_;
};

class CharacterNormalizer {
  public:
    CharacterNormalizer(NormalizerRules rules, std::string_view charsmap, const CharacterVocab& vocab)
        : rules_(rules), charsmap_(charsmap), vocab_(vocab) {}

    NormalizedText normalize(std::string_view text, bool with_origins) const;

  private:
    struct Chunk {
        std::string_view text;
        size_t num_bytes;  // in the original
    };
    Chunk next_chunk(std::string_view text) const;
    bool needs_dummy(std::string_view text) const;
    // `origin` is where the first byte was made of, and `step` how much further each following one.
    void append(std::string_view bytes, size_t origin, size_t step, NormalizedText& normalized,
                bool with_origins) const;

    const NormalizerRules rules_;
    const Charsmap charsmap_;
    const CharacterVocab& vocab_;
};

}  // namespace textmill::tokenizer
