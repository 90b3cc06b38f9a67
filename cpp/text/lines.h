// Lines and white space as Python's str methods see them, on UTF-8: published filters were written with these.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "tokenizer/unicode.h"

namespace textmill::text {

// str.isspace(): \s, and four separators of ASCII.
inline bool is_python_space(uint32_t code_point) {
    return tokenizer::class_of(code_point) == tokenizer::CharClass::kWhitespace ||
           (code_point >= 0x1C && code_point <= 0x1F);
}

// The number of characters of valid UTF-8.
inline size_t count_characters(std::string_view text) {
    size_t count = 0;
    for (const char byte : text) {
        count += (static_cast<uint8_t>(byte) & 0xC0) != 0x80;
    }
    return count;
}

// str.lstrip(), str.rstrip() and str.strip().
std::string_view strip_left(std::string_view text);
std::string_view strip_right(std::string_view text);
inline std::string_view strip(std::string_view text) {
    return strip_right(strip_left(text));
}

// The bytes of the line boundary at a byte, 0 where there is none: those of str.splitlines().
inline size_t line_boundary(std::string_view text, size_t at) {
    const auto byte = [&](size_t i) { return at + i < text.size() ? static_cast<uint8_t>(text[at + i]) : 0; };
    const int first = byte(0);
    if (first == '\r') {
        return byte(1) == '\n' ? 2 : 1;
    }
    if ((first >= '\n' && first <= '\f') || (first >= 0x1C && first <= 0x1E)) {
        return 1;
    }
    if (first == 0xC2) {
        return byte(1) == 0x85 ? 2 : 0;
    }
    return first == 0xE2 && byte(1) == 0x80 && (byte(2) == 0xA8 || byte(2) == 0xA9) ? 3 : 0;
}

// Whether a text has none of the bytes with which boundaries other than "\n" begin.
inline bool has_only_newlines(std::string_view text) {
    unsigned others = 0;
    for (const char c : text) {  // the compiler makes vectors of it
        const auto byte = static_cast<uint8_t>(c);
        others |= static_cast<unsigned>((byte >= 0x0B) & (byte <= 0x0D)) |
                  static_cast<unsigned>((byte >= 0x1C) & (byte <= 0x1E)) |
                  static_cast<unsigned>((byte == 0xC2) | (byte == 0xE2));
    }
    return others == 0;
}

// Calls sink(line) for each line of str.splitlines().
template <typename Sink>
void each_line(std::string_view text, Sink&& sink) {
    size_t begin = 0;
    if (has_only_newlines(text)) {
        for (size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n', begin)) {
            sink(text.substr(begin, end - begin));
            begin = end + 1;
        }
        if (begin < text.size()) {
            sink(text.substr(begin));
        }
        return;
    }
    for (size_t at = 0; at < text.size();) {
        const auto byte = static_cast<uint8_t>(text[at]);
        if (byte >= 0x20 && byte != 0xC2 && byte != 0xE2) [[likely]] {
            ++at;
            continue;
        }
        const size_t boundary = line_boundary(text, at);
        if (boundary == 0) {
            ++at;
            continue;
        }
        sink(text.substr(begin, at - begin));
        at += boundary;
        begin = at;
    }
    if (begin < text.size()) {
        sink(text.substr(begin));
    }
}

// Calls sink(part) for each part between runs of at least `least` newlines, as re.split("\n{least,}", text) does.
template <typename Sink>
void each_between_newlines(std::string_view text, size_t least, Sink&& sink) {
    size_t begin = 0;
    size_t at = text.find('\n');
    while (at != std::string_view::npos) {
        size_t end = at;
        while (end < text.size() && text[end] == '\n') {
            ++end;
        }
        if (end - at >= least) {
            sink(text.substr(begin, at - begin));
            begin = end;
        }
        at = text.find('\n', end);
    }
    sink(text.substr(begin));
}

}  // namespace textmill::text
