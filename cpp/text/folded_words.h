// Words as matching sees them: runs of letters and numbers, without marks, whatever their case; all else parts them.
// Deduplication, decontamination and quality scores compare these.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/byte_window.h"
#include "text/little_endian.h"

namespace textmill::text {

struct FoldedWord {
    uint64_t hash;   // of the UTF-8 of its folded characters
    uint32_t begin;  // bytes of the text
    uint32_t end;
};

namespace internal {

constexpr size_t kBlockBytes = sizeof(uint64_t);
constexpr std::array<uint64_t, kBlockBytes + 1> kFirstBytes{
    0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF};

inline uint64_t mix(uint64_t state, uint64_t block) {
    state = (state ^ block) * 0x9E3779B97F4A7C15;  // 2^64 by the golden ratio, odd
    return state ^ (state >> 32);
}

// The hash of one to any number of bytes, `with` set in each of them: of two blocks of 8 bytes, or as many as there
// are, since a branch on the length of a usual word would be guessed wrong often. Reads 16 bytes, and to whole blocks.
inline uint64_t hash_word(const char* at, size_t num_bytes, uint64_t with) {
    const auto block = [&](size_t begin, size_t count) { return (word_at(at + begin) | with) & kFirstBytes[count]; };
    uint64_t state = num_bytes * 0x9E3779B97F4A7C15;
    size_t begin = 0;
    for (; num_bytes - begin > 2 * kBlockBytes; begin += kBlockBytes) {
        state = mix(state, block(begin, kBlockBytes));
    }
    const size_t num_left = num_bytes - begin;
    const size_t num_first = std::min(num_left, kBlockBytes);
    return mix(mix(state, block(begin, num_first)), block(begin + kBlockBytes, num_left - num_first));
}

// Whole windows of ASCII, until there is a word or a character that they cannot judge, or the end; returns its place.
template <typename Sink>
size_t each_ascii_word(std::string_view text, size_t at, Sink& sink) {
    constexpr uint64_t kLower = 0x2020202020202020;  // letters to small ones; digits have the bit
    char copy[kWindowBytes + 2 * kBlockBytes];
    while (at < text.size()) {
        const size_t num_left = text.size() - at;
        const char* bytes = text.data() + at;
        if (num_left < sizeof(copy)) {
            std::fill_n(std::copy_n(bytes, num_left, copy), sizeof(copy) - num_left, '\0');
            bytes = copy;
        }
        const ByteWindow window(bytes);
        const uint64_t in_words = window.letters() | window.range('0', 10);
        const uint64_t high = window.high();
        const size_t limit = std::min<size_t>({kWindowBytes, num_left, size_t(std::countr_zero(high))});
        if (limit == 0) {
            return at;
        }
        // A word that touches the limit may go on behind it, but at the end of the text.
        size_t closed = limit;
        if (limit < num_left) {
            closed -= static_cast<size_t>(std::countl_one(in_words << (kWindowBytes - limit)));
        }
        const uint64_t words = in_words & low_bits(closed);
        uint64_t begins = words & ~(words << 1);
        uint64_t ends = ~words & (words << 1);
        while (begins != 0) {
            const auto begin = static_cast<size_t>(std::countr_zero(begins));
            const auto end = static_cast<size_t>(std::countr_zero(ends));  // 64 where there is none
            sink(FoldedWord{hash_word(bytes + begin, end - begin, kLower), static_cast<uint32_t>(at + begin),
                            static_cast<uint32_t>(at + end)});
            begins &= begins - 1;
            ends &= ends - 1;
        }
        at += closed;
        if (closed == 0 || high != 0) {
            return at;
        }
    }
    return at;
}

// The next character from `at` on that begins a word, or the end.
size_t skip_to_word(std::string_view text, size_t at);

// The word that begins at a character; `folded` lends its memory.
FoldedWord read_folded_word(std::string_view text, size_t begin, std::string& folded);

}  // namespace internal

// Calls sink(FoldedWord) for each word from left to right. The places of words are modulo 4 GiB.
template <typename Sink>
void each_folded_word(std::string_view text, Sink&& sink) {
    std::string folded;
    for (size_t at = 0; at < text.size();) {
        at = internal::each_ascii_word(text, at, sink);
        do {
            at = internal::skip_to_word(text, at);
            if (at < text.size()) {
                const FoldedWord word = internal::read_folded_word(text, at, folded);
                sink(word);
                at += static_cast<uint32_t>(word.end - word.begin);
            }
        } while (at < text.size() && has_high_byte_soon(text, at));
    }
}

// Replaces `words` by those of a text.
void read_folded_words(std::string_view text, std::vector<FoldedWord>& words);

// The folded characters of words [first, last) of a text, one space between two words.
std::vector<uint32_t> folded_characters(std::string_view text, const FoldedWord* first, const FoldedWord* last);

}  // namespace textmill::text
