#include "text/json_scanner.h"

#include <array>
#include <cstring>

#include "text/plain_run.h"
#include "text/utf8_sequence.h"

namespace textmill::text {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// What a backslash and this letter stand for; 0 for what is no such pair, and for u.
constexpr std::array<char, 256> kEscaped = [] {
    std::array<char, 256> table{};
    table['"'] = '"';
    table['\\'] = '\\';
    table['/'] = '/';
    table['b'] = '\b';
    table['f'] = '\f';
    table['n'] = '\n';
    table['r'] = '\r';
    table['t'] = '\t';
    return table;
}();

char escaped(char letter) {
    return kEscaped[static_cast<uint8_t>(letter)];
}

// Copies characters beyond ASCII, as many as there are, and goes behind them; returns false where one is no UTF-8.
bool copy_characters(const char*& at, const char* end, char*& out) {
    constexpr size_t kMost = 4;
    while (at < end && static_cast<uint8_t>(*at) >= 0x80) {
        const size_t num_bytes = multibyte_length(at, end);
        if (num_bytes == 0) {
            return false;
        }
        // One move of four bytes is quicker than one of as many as there are.
        std::memcpy(out, at, static_cast<size_t>(end - at) >= kMost ? kMost : num_bytes);
        at += num_bytes;
        out += num_bytes;
    }
    return true;
}

}  // namespace

// Nothing above goes past a line's end: in JSON it stands inside no string.
void JsonScanner::skip_line() {
    const size_t num_left = static_cast<size_t>(end_ - at_);
    const void* const line_end = num_left > 0 ? std::memchr(at_, '\n', num_left) : nullptr;
    at_ = line_end == nullptr ? end_ : static_cast<const char*>(line_end) + 1;
}

char* JsonScanner::read_string(char* out) {
    // In variables of its own: a byte that is written might be one of the members, for all that the compiler knows.
    const char* const end = end_;
    const char* at = at_ + 1;
    for (;;) {
        const size_t num_plain = copy_plain_run(at, end, out);
        at += num_plain;
        out += num_plain;
        const char c = at < end ? *at : '\n';
        if (c == '\\') {
            if (const char plain = escaped(at + 1 < end ? at[1] : '\n'); plain != 0) {
                *out++ = plain;
                at += 2;
                continue;
            }
            at_ = at + 1;
            out = read_unicode_escape(out);
            if (out == nullptr) {
                return nullptr;
            }
            at = at_;
        } else if (c == '"') {
            at_ = at + 1;
            return out;
        } else if (static_cast<uint8_t>(c) < 0x80 || !copy_characters(at, end, out)) {
            return nullptr;
        }
    }
}

// Halves of a surrogate pair are no text by themselves.
char* JsonScanner::read_unicode_escape(char* out) {
    uint32_t code_point = 0;
    if (!read_hex(code_point) || (code_point >= 0xDC00 && code_point < 0xE000)) {
        return nullptr;
    }
    if (code_point >= 0xD800 && code_point < 0xDC00) {
        uint32_t low = 0;
        if (!take('\\') || !read_hex(low) || low < 0xDC00 || low >= 0xE000) {
            return nullptr;
        }
        code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
    }
    return put_utf8(code_point, out);
}

// Reads u and four digits.
bool JsonScanner::read_hex(uint32_t& code_unit) {
    if (!take('u')) {
        return false;
    }
    code_unit = 0;
    for (int i = 0; i < 4; ++i) {
        const char c = peek();
        const char small = static_cast<char>(c | 0x20);
        if (!is_digit(c) && (small < 'a' || small > 'f')) {
            return false;
        }
        code_unit = code_unit << 4 | static_cast<uint32_t>(is_digit(c) ? c - '0' : small - 'a' + 10);
        ++at_;
    }
    return true;
}

bool JsonScanner::read_number() {
    const char* const begin = at_;
    take('-');
    if (!take('0') && !read_digits()) {
        return false;
    }
    if (take('.') && !read_digits()) {
        return false;
    }
    if (take('e') || take('E')) {
        if (!take('+')) {
            take('-');
        }
        if (!read_digits()) {
            return false;
        }
    }
    return static_cast<size_t>(at_ - begin) <= kMaxNumberBytes;
}

bool JsonScanner::read_digits() {
    const char* const begin = at_;
    while (is_digit(peek())) {
        ++at_;
    }
    return at_ > begin;
}

bool JsonScanner::skip_value(int depth) {
    switch (peek()) {
        case '"':
            return skip_string();
        case '{':
            ++at_;
            return depth < kMaxDepth && skip_object(depth + 1);
        case '[':
            ++at_;
            return depth < kMaxDepth && skip_array(depth + 1);
        case 't':
            return skip_literal("true");
        case 'f':
            return skip_literal("false");
        case 'n':
            return skip_literal("null");
        default:
            return read_number();
    }
}

bool JsonScanner::skip_object(int depth) {
    skip_spaces();
    if (take('}')) {
        return true;
    }
    do {
        skip_spaces();
        if (peek() != '"' || !skip_string()) {
            return false;
        }
        skip_spaces();
        if (!take(':')) {
            return false;
        }
        skip_spaces();
        if (!skip_value(depth)) {
            return false;
        }
        skip_spaces();
    } while (take(','));
    return take('}');
}

bool JsonScanner::skip_array(int depth) {
    skip_spaces();
    if (take(']')) {
        return true;
    }
    do {
        skip_spaces();
        if (!skip_value(depth)) {
            return false;
        }
        skip_spaces();
    } while (take(','));
    return take(']');
}

bool JsonScanner::skip_string() {
    ++at_;
    for (;;) {
        at_ = skip_plain_run(at_, end_);
        const char c = peek();
        if (c == '"') {
            ++at_;
            return true;
        }
        if (c == '\\') {
            if (!skip_escape()) {
                return false;
            }
            continue;
        }
        if (static_cast<uint8_t>(c) < 0x80) {
            return false;
        }
        const size_t num_bytes = multibyte_length(at_, end_);
        if (num_bytes == 0) {
            return false;
        }
        at_ += num_bytes;
    }
}

bool JsonScanner::skip_escape() {
    ++at_;
    if (peek() == 'u') {
        uint32_t code_unit = 0;
        return read_hex(code_unit);
    }
    if (escaped(peek()) == 0) {
        return false;
    }
    ++at_;
    return true;
}

bool JsonScanner::skip_literal(std::string_view literal) {
    if (static_cast<size_t>(end_ - at_) < literal.size() || std::string_view(at_, literal.size()) != literal) {
        return false;
    }
    at_ += literal.size();
    return true;
}

}  // namespace textmill::text
