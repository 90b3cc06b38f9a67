#include "text/word_hashes.h"

#include <algorithm>
#include <array>
#include <bit>

#include "text/little_endian.h"
#include "text/word_characters.h"
#include "text/word_windows.h"
#include "tokenizer/unicode.h"

namespace textmill::text {
namespace {

constexpr size_t kBlockBytes = sizeof(uint64_t);
constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;  // 2^64 by the golden ratio, odd
constexpr uint64_t kLower = 0x2020202020202020;       // letters to lower case; digits have the bit
constexpr std::array<uint64_t, kBlockBytes + 1> kFirstBytes{
    0, 0xFF, 0xFFFF, 0xFFFFFF, 0xFFFFFFFF, 0xFFFFFFFFFF, 0xFFFFFFFFFFFF, 0xFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF};

uint64_t mix(uint64_t state, uint64_t block) {
    state = (state ^ block) * kMultiplier;
    return state ^ (state >> 32);
}

// The hash of one to any number of bytes, `with` set in each of them: of two blocks of 8 bytes, or as many as there
// are, since a branch on the length of a usual word would be guessed wrong often. Reads 16 bytes, and to whole blocks.
uint64_t hash_word(const char* at, size_t num_bytes, uint64_t with) {
    const auto block = [&](size_t begin, size_t count) { return (word_at(at + begin) | with) & kFirstBytes[count]; };
    uint64_t state = num_bytes * kMultiplier;
    size_t begin = 0;
    for (; num_bytes - begin > 2 * kBlockBytes; begin += kBlockBytes) {
        state = mix(state, block(begin, kBlockBytes));
    }
    const size_t num_left = num_bytes - begin;
    const size_t num_first = std::min(num_left, kBlockBytes);
    return mix(mix(state, block(begin, num_first)), block(begin + kBlockBytes, num_left - num_first));
}

uint64_t low_bits(size_t count) {
    return count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

}  // namespace

// Goes on with whole windows until it meets a word or a character that it cannot judge, or the end; returns its place.
size_t WordHasher::scan_ascii(std::string_view text, size_t at) {
    char copy[kWindowBytes + 2 * kBlockBytes];
    while (at < text.size()) {
        const size_t num_left = text.size() - at;
        const char* window = text.data() + at;
        if (num_left < sizeof(copy)) {
            std::fill_n(std::copy_n(window, num_left, copy), sizeof(copy) - num_left, '\0');
            window = copy;
        }
        const WindowMasks masks = window_masks(window);
        const size_t limit = std::min<size_t>({kWindowBytes, num_left, size_t(std::countr_zero(masks.high))});
        if (limit == 0) {
            return at;
        }
        // A word that touches the limit may go on behind it, but at the end of the text.
        size_t closed = limit;
        if (limit < num_left) {
            closed -= static_cast<size_t>(std::countl_one(masks.words << (kWindowBytes - limit)));
        }
        const uint64_t words = masks.words & low_bits(closed);
        uint64_t begins = words & ~(words << 1);
        uint64_t ends = ~words & (words << 1);
        uint64_t* out = hashes_.data() + num_hashes_;
        while (begins != 0) {
            const auto begin = static_cast<size_t>(std::countr_zero(begins));
            const auto end = static_cast<size_t>(std::countr_zero(ends));  // 64 where there is none
            *out++ = hash_word(window + begin, end - begin, kLower);
            begins &= begins - 1;
            ends &= ends - 1;
        }
        num_hashes_ = static_cast<size_t>(out - hashes_.data());
        at += closed;
        if (closed == 0 || masks.high != 0) {
            return at;
        }
    }
    return at;
}

// Goes on character by character behind the first word that is all ASCII, or to the end; returns its place.
size_t WordHasher::scan_any(std::string_view text, size_t at) {
    bool is_ascii_word = false;
    while (at < text.size() && !is_ascii_word) {
        tokenizer::Char c = tokenizer::char_at(text, at);
        const WordCharacter first = word_character(c.code_point);
        if (first == WordCharacter::kNone) {
            at += c.num_bytes;
            continue;
        }
        folded_.clear();
        is_ascii_word = true;
        WordCharacter kind = first;
        do {
            is_ascii_word &= c.num_bytes == 1;
            append_folded(c.code_point, folded_);
            at += c.num_bytes;
            if (at == text.size()) {
                break;
            }
            c = tokenizer::char_at(text, at);
            kind = word_character(c.code_point);
        } while (kind == WordCharacter::kMark || (kind == WordCharacter::kRun && first != WordCharacter::kAlone));
        const size_t num_bytes = folded_.size();
        folded_.append(2 * kBlockBytes, '\0');
        hashes_[num_hashes_++] = hash_word(folded_.data(), num_bytes, 0);
    }
    return at;
}

std::span<const uint64_t> WordHasher::hash(std::string_view text) {
    // A word has a separator behind it, or two bytes and more.
    hashes_.resize(std::max(hashes_.size(), text.size() / 2 + 1));
    num_hashes_ = 0;
    for (size_t at = 0; at < text.size();) {
        at = scan_any(text, scan_ascii(text, at));
    }
    return {hashes_.data(), num_hashes_};
}

}  // namespace textmill::text
