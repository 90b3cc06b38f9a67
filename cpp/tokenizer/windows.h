// Piece boundaries by bit masks: a window of 64 bytes at a time, for the patterns whose rules masks can say.
//
// A window begins where a piece begins. No pattern looks behind that place, so the window needs no history: classes of
// its characters become masks, a few shifts and sums of masks give the boundaries, and the next window begins at the
// last boundary that is certain. What reaches beyond a window is left to the pattern's own matcher.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace textmill::tokenizer {

enum class WindowFamily : uint8_t {
    kNone,    // the pattern has no masks
    kGpt2,    // a space goes with the run after it
    kCl100k,  // any character but a newline goes with the letters after it; newlines go with what is before them
};

struct WindowRule {
    WindowFamily family = WindowFamily::kNone;
    uint8_t max_digits = 0;     // the longest piece of digits; 0: no limit
    bool digits_apart = false;  // digits are cut out first, and what is between them is split by itself
};

// The rule of a pattern, by the regexes of its stages as they are written: kNone where it has none.
WindowRule window_rule_of(std::span<const std::string> stage_regexes);

// A text, and how many bytes after it may be read besides, whatever they are.
struct PaddedText {
    std::string_view bytes;
    size_t num_padding = 0;
};

// Finds pieces from `begin`, where one begins. Writes the end of each, in bytes from `begin`, and returns how many
// there are: 0 where the next piece is longer than a window. Stops at `capacity` (at least kMinWindowEnds) or after
// some 2^31 bytes.
using FindEnds = size_t (*)(const WindowRule& rule, const PaddedText& text, size_t begin, uint32_t* ends,
                            size_t capacity);
constexpr size_t kMinWindowEnds = 64;

size_t find_ends_avx2(const WindowRule& rule, const PaddedText& text, size_t begin, uint32_t* ends, size_t capacity);
size_t find_ends_portable(const WindowRule& rule, const PaddedText& text, size_t begin, uint32_t* ends,
                          size_t capacity);

// The fastest of them that this machine runs. TEXTMILL_ISA in the environment can ask for less, by the names that the
// engine's tiers have too: amx and avx512 (masks of 64 bytes by AVX-512 were no faster, so both are avx2 here), avx2 or
// portable. Throws std::invalid_argument for another name.
FindEnds find_ends_tier();

}  // namespace textmill::tokenizer
