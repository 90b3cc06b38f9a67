// The windows of windows.h, for one tier of instructions: a file for each includes this and gives a Tier. Everything is
// in an unnamed namespace, so that no code of one tier can be taken for another's.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "tokenizer/unicode.h"
#include "tokenizer/windows.h"

namespace textmill::tokenizer {
namespace {

constexpr size_t kWindowBytes = 64;

// A bit for each byte of a window. `high` are bytes of 0x80 and above; the others speak of ASCII alone.
struct ByteMasks {
    uint64_t letters;
    uint64_t digits;
    uint64_t spaces;
    uint64_t controls;  // U+0009 to U+000D, the other whitespace of ASCII
    uint64_t newlines;  // \n and \r
    uint64_t apostrophes;
    uint64_t high;
    uint64_t trails;          // 0x80 to 0xBF
    uint64_t letter_leads_2;  // leads of two and three bytes under which every code point is a letter
    uint64_t letter_leads_3;
};

// A bit for each character of a window.
struct CharMasks {
    uint64_t letters;
    uint64_t numbers;
    uint64_t whitespace;
    uint64_t spaces;  // U+0020
    uint64_t newlines;
    uint64_t apostrophes;
    uint64_t other;
    uint64_t leads;  // the first bytes of characters, a bit for each byte
    size_t num_bytes;
    size_t num_chars;
    bool all_single;  // every character is one byte
};

uint64_t low_bits(size_t count) {
    return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

// The bits after those of `mask`: what comes after a character of it.
uint64_t after(uint64_t mask) {
    return mask << 1;
}

uint64_t before(uint64_t mask) {
    return mask >> 1;
}

// Classes of the characters outside ASCII, byte by byte. Cuts the window where its last character reaches beyond it.
void add_multibyte(std::string_view text, size_t begin, const ByteMasks& bytes, CharMasks& chars) {
    const uint64_t pairs = bytes.letter_leads_2 & before(bytes.trails);
    const uint64_t triples = bytes.letter_leads_3 & before(bytes.trails) & (bytes.trails >> 2);
    uint64_t trails = after(pairs) | after(triples) | (triples << 2);
    chars.letters |= pairs | triples;
    uint64_t rest = bytes.high & ~(pairs | triples | trails);
    while (rest != 0) {
        const auto at = static_cast<size_t>(std::countr_zero(rest));
        const Char next = internal::decode_multibyte(text, begin + at);
        const uint64_t bit = uint64_t{1} << at;
        if (at + next.num_bytes > kWindowBytes) {
            chars.num_bytes = at;
            break;
        }
        const CharClass char_class = class_of(next.code_point);
        chars.letters |= char_class == CharClass::kLetter ? bit : 0;
        chars.numbers |= char_class == CharClass::kNumber ? bit : 0;
        chars.whitespace |= char_class == CharClass::kWhitespace ? bit : 0;
        const uint64_t own = low_bits(next.num_bytes) << at;
        trails |= own ^ bit;
        rest &= ~own;
    }
    chars.leads = ~trails & low_bits(chars.num_bytes);
}

template <typename Tier>
ByteMasks byte_masks(const PaddedText& text, size_t begin, size_t num_bytes) {
    const char* const window = text.bytes.data() + begin;
    if (num_bytes == kWindowBytes) {
        return Tier::byte_masks(window);
    }
    if (num_bytes + text.num_padding < kWindowBytes) {
        alignas(kWindowBytes) std::array<char, kWindowBytes> copy{};
        std::memcpy(copy.data(), window, num_bytes);
        return Tier::byte_masks(copy.data());
    }
    ByteMasks masks = Tier::byte_masks(window);
    const uint64_t valid = low_bits(num_bytes);
    for (uint64_t* const mask :
         {&masks.letters, &masks.digits, &masks.spaces, &masks.controls, &masks.newlines, &masks.apostrophes,
          &masks.high, &masks.trails, &masks.letter_leads_2, &masks.letter_leads_3}) {
        *mask &= valid;
    }
    return masks;
}

template <typename Tier>
CharMasks classify(const PaddedText& text, size_t begin) {
    const size_t num_bytes = std::min(kWindowBytes, text.bytes.size() - begin);
    const ByteMasks bytes = byte_masks<Tier>(text, begin, num_bytes);
    CharMasks chars{bytes.letters,
                    bytes.digits,
                    bytes.spaces | bytes.controls,
                    bytes.spaces,
                    bytes.newlines,
                    bytes.apostrophes,
                    0,
                    low_bits(num_bytes),
                    num_bytes,
                    num_bytes,
                    true};
    if (bytes.high != 0) {
        add_multibyte(text.bytes, begin, bytes, chars);
        chars.num_chars = static_cast<size_t>(std::popcount(chars.leads));
        chars.all_single = chars.num_chars == chars.num_bytes;
        chars.letters = Tier::gather(chars.letters, chars.leads);
        chars.numbers = Tier::gather(chars.numbers, chars.leads);
        chars.whitespace = Tier::gather(chars.whitespace, chars.leads);
        chars.spaces = Tier::gather(chars.spaces, chars.leads);
        chars.newlines = Tier::gather(chars.newlines, chars.leads);
        chars.apostrophes = Tier::gather(chars.apostrophes, chars.leads);
    }
    chars.other = low_bits(chars.num_chars) & ~(chars.letters | chars.numbers | chars.whitespace);
    return chars;
}

// The characters of 's 't 're 've 'm 'll 'd at an apostrophe, 0 where there is none. One that reaches beyond the window
// matters to none of its boundaries.
template <typename Tier>
size_t contraction_chars(std::string_view text, size_t begin, const CharMasks& chars, size_t apostrophe,
                         bool ignore_case) {
    const size_t place =
        begin + 1 +
        (chars.all_single
             ? apostrophe
             : static_cast<size_t>(std::countr_zero(Tier::scatter(uint64_t{1} << apostrophe, chars.leads))));
    const auto letter_at = [&](size_t at) {
        const char letter = at < text.size() ? text[at] : '\0';
        return ignore_case && letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
    };
    const char first = letter_at(place);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') {
        return 2;
    }
    if (ignore_case && text.substr(place, 2) == "\xC5\xBF") {  // U+017F, the long s, is an s where case is ignored
        return 2;
    }
    const char second = letter_at(place + 1);
    const bool matches = ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
    return matches ? 3 : 0;
}

struct Contractions {
    uint64_t apostrophes = 0;
    uint64_t ends = 0;  // the first characters after them
};

// A contraction stands where an apostrophe begins a piece: neither in a run of other characters nor after a space.
template <typename Tier>
Contractions find_contractions(std::string_view text, size_t begin, const CharMasks& chars, bool ignore_case) {
    Contractions found;
    uint64_t rest = chars.apostrophes & ~after(chars.other | chars.spaces) & before(chars.letters);
    while (rest != 0) {
        const auto at = static_cast<size_t>(std::countr_zero(rest));
        rest &= rest - 1;
        if (const size_t length = contraction_chars<Tier>(text, begin, chars, at, ignore_case)) {
            found.apostrophes |= uint64_t{1} << at;
            found.ends |= at + length < 64 ? uint64_t{1} << (at + length) : 0;
        }
    }
    return found;
}

// The last characters of runs of whitespace that something else follows.
uint64_t last_of_whitespace(const CharMasks& chars, uint64_t followers) {
    return chars.whitespace & before(followers);
}

//  's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
template <typename Tier>
uint64_t gpt2_boundaries(const WindowRule& rule, std::string_view text, size_t begin, const CharMasks& chars) {
    const Contractions contractions = find_contractions<Tier>(text, begin, chars, false);
    const uint64_t letters = chars.letters & ~after(chars.letters) & ~after(contractions.apostrophes);
    const uint64_t other = chars.other & ~after(chars.other);
    const uint64_t whitespace = chars.whitespace & ~after(chars.whitespace);
    if (rule.digits_apart) {
        return ((letters | other) & ~after(chars.spaces)) | contractions.ends | chars.numbers | after(chars.numbers) |
               whitespace | last_of_whitespace(chars, chars.letters | chars.other);
    }
    const uint64_t numbers = chars.numbers & ~after(chars.numbers);
    return ((letters | numbers | other) & ~after(chars.spaces)) | contractions.ends | whitespace |
           last_of_whitespace(chars, chars.letters | chars.numbers | chars.other);
}

// Runs of numbers, cut into pieces of `max_digits` from their start.
uint64_t number_boundaries(uint64_t numbers, unsigned max_digits) {
    if (max_digits == 1) {
        return numbers;
    }
    uint64_t inside = numbers;  // characters that as many numbers stand before, without a gap
    for (unsigned i = 1; i <= max_digits; ++i) {
        inside &= numbers << i;
    }
    uint64_t found = numbers & ~after(numbers);
    for (uint64_t next = found; next != 0;) {
        next = (next << max_digits) & inside;
        found |= next;
    }
    return found;
}

// Where whitespace begins that no newline is in, after the last newline of its run: what \s*[\r\n]+ leaves. `newlines`
// are those that belong to no run of other characters.
uint64_t after_last_newline(const CharMasks& chars, uint64_t newlines) {
    const uint64_t blanks = chars.whitespace & ~chars.newlines;
    uint64_t starts = blanks & after(newlines);
    uint64_t inner_ends = (blanks + starts) & ~blanks & chars.newlines;  // the sum carries a start to its run's end
    while (inner_ends != 0) {
        const uint64_t below = starts & ((inner_ends & (~inner_ends + 1)) - 1);
        starts &= ~std::bit_floor(below);
        inner_ends &= inner_ends - 1;
    }
    return starts;
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
template <typename Tier>
uint64_t cl100k_boundaries(const WindowRule& rule, std::string_view text, size_t begin, const CharMasks& chars) {
    const Contractions contractions = find_contractions<Tier>(text, begin, chars, true);
    // One character that is no newline goes with letters, unless it is the end of a longer run or a space took it.
    const uint64_t taken = chars.other & after(chars.other | chars.spaces);
    const uint64_t letters = chars.letters & after(chars.numbers | chars.newlines | taken);
    const uint64_t other = chars.other & ~after(chars.other | chars.spaces);
    // Newlines right after other characters go with them: the sum carries each run's first bit to its end.
    const uint64_t joined = chars.newlines & ~(chars.newlines + (chars.newlines & after(chars.other)));
    const uint64_t whitespace =
        (chars.whitespace & ~after(chars.whitespace) & ~joined) | (after(joined) & chars.whitespace & ~joined);
    const uint64_t last = last_of_whitespace(chars, chars.letters | chars.numbers | chars.other) & ~chars.newlines;
    return letters | other | contractions.ends | number_boundaries(chars.numbers, rule.max_digits) | whitespace |
           after_last_newline(chars, chars.newlines & ~joined) | last;
}

// The boundaries of a window that what comes after it cannot change: those up to a run of whitespace at its end.
uint64_t certain(uint64_t boundaries, const CharMasks& chars, bool is_last) {
    if (is_last) {
        return boundaries & low_bits(chars.num_chars);
    }
    const uint64_t not_whitespace = ~chars.whitespace & low_bits(chars.num_chars);
    const auto run_begin = static_cast<size_t>(std::bit_width(not_whitespace));
    return boundaries & low_bits(run_begin + (run_begin < chars.num_chars ? 1 : 0));
}

template <typename Tier>
size_t find_ends(const WindowRule& rule, const PaddedText& text, size_t begin, uint32_t* ends, size_t capacity) {
    constexpr size_t kMostBytes = size_t{1} << 31;
    size_t num_ends = 0;
    size_t at = begin;
    while (at < text.bytes.size() && num_ends + kMinWindowEnds <= capacity && at - begin < kMostBytes) {
        const CharMasks chars = classify<Tier>(text, at);
        const bool is_last = at + chars.num_bytes == text.bytes.size();
        uint64_t boundaries = rule.family == WindowFamily::kGpt2 ? gpt2_boundaries<Tier>(rule, text.bytes, at, chars)
                                                                 : cl100k_boundaries<Tier>(rule, text.bytes, at, chars);
        boundaries = certain(boundaries, chars, is_last) & ~uint64_t{1};
        if (!chars.all_single) {
            boundaries = Tier::scatter(boundaries, chars.leads);
        }
        const auto offset = static_cast<uint32_t>(at - begin);
        Tier::write_places(boundaries, offset, ends + num_ends);
        num_ends += static_cast<size_t>(std::popcount(boundaries));
        if (is_last) {
            ends[num_ends++] = offset + static_cast<uint32_t>(chars.num_bytes);
            at = text.bytes.size();
        } else if (boundaries == 0) {
            break;
        } else {
            at += static_cast<size_t>(std::bit_width(boundaries) - 1);
        }
    }
    return num_ends;
}

}  // namespace
}  // namespace textmill::tokenizer
