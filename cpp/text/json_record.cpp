#include "text/json_record.h"

#include <algorithm>
#include <cstring>

#include "text/plain_run.h"
#include "text/utf8_sequence.h"

namespace textmill::text {
namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// What a backslash and this letter stand for; 0 for what is no such pair, and for u.
char escaped(char letter) {
    switch (letter) {
        case '"':
        case '\\':
        case '/':
            return letter;
        case 'b':
            return '\b';
        case 'f':
            return '\f';
        case 'n':
            return '\n';
        case 'r':
            return '\r';
        case 't':
            return '\t';
        default:
            return 0;
    }
}

char* put_utf8(uint32_t code_point, char* out) {
    const auto put = [&](uint32_t byte) { *out++ = static_cast<char>(byte); };
    const auto trail = [&](uint32_t shift) { return 0x80 | (code_point >> shift & 0x3F); };
    if (code_point < 0x80) {
        put(code_point);
    } else if (code_point < 0x800) {
        put(0xC0 | code_point >> 6);
        put(trail(0));
    } else if (code_point < 0x10000) {
        put(0xE0 | code_point >> 12);
        put(trail(6));
        put(trail(0));
    } else {
        put(0xF0 | code_point >> 18);
        put(trail(12));
        put(trail(6));
        put(trail(0));
    }
    return out;
}

// Copies 2 to 4 bytes, in one move where there are 4.
void copy_character(const char* at, const char* end, size_t num_bytes, char* out) {
    constexpr size_t kMost = 4;
    if (static_cast<size_t>(end - at) >= kMost) {
        std::memcpy(out, at, kMost);
    } else {
        std::memcpy(out, at, num_bytes);
    }
}

}  // namespace

LineKind JsonRecordReader::read_line() {
    skip_spaces();
    if (peek() == '\n') {
        skip_line();
        return LineKind::kBlank;
    }
    const bool is_record = read_record();
    skip_line();
    return is_record ? LineKind::kRecord : LineKind::kRefused;
}

void JsonRecordReader::skip_spaces() {
    while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r')) {
        ++at_;
    }
}

// Nothing above goes past a line's end: in JSON it stands inside no string.
void JsonRecordReader::skip_line() {
    const size_t num_left = static_cast<size_t>(end_ - at_);
    const void* const line_end = num_left > 0 ? std::memchr(at_, '\n', num_left) : nullptr;
    at_ = line_end == nullptr ? end_ : static_cast<const char*>(line_end) + 1;
}

bool JsonRecordReader::take(char c) {
    if (peek() != c) {
        return false;
    }
    ++at_;
    return true;
}

bool JsonRecordReader::read_record() {
    seen_ = 0;
    has_text_ = false;
    std::fill(lengths_.begin(), lengths_.end(), 0);
    if (!take('{') || !read_object(0, 1)) {
        return false;
    }
    skip_spaces();
    return has_text_ && peek() == '\n';
}

bool JsonRecordReader::read_object(size_t node, int depth) {
    skip_spaces();
    if (take('}')) {
        return true;
    }
    do {
        std::string_view key;
        skip_spaces();
        if (!read_key(key)) {
            return false;
        }
        skip_spaces();
        if (!take(':')) {
            return false;
        }
        skip_spaces();
        const size_t child = tree_.find(node, key);
        if (!(child == FieldTree::kNone ? skip_value(depth) : read_member(child, depth))) {
            return false;
        }
        skip_spaces();
    } while (take(','));
    return take('}');
}

bool JsonRecordReader::read_member(size_t child, int depth) {
    const uint64_t bit = uint64_t{1} << child;
    if ((seen_ & bit) != 0) {
        return false;  // the last one counts, and this one is written already
    }
    seen_ |= bit;
    if (tree_[child].field != FieldTree::kNone) {
        return read_field(tree_[child].field);
    }
    if (peek() == '{' && depth < kMaxDepth) {
        ++at_;
        return read_object(child, depth + 1);
    }
    return skip_value(depth);
}

bool JsonRecordReader::read_field(size_t field) {
    char* out = outputs_[field];
    const char* const begin = at_;
    if (peek() == '"') {
        if (!read_string(out)) {
            return false;
        }
        has_text_ = has_text_ || field == kText;
    } else if (field == kText) {
        return false;
    } else if (peek() == 'n') {
        return skip_literal("null");
    } else {
        if (!read_number()) {
            return false;
        }
        out = std::copy(begin, at_, out);
    }
    lengths_[field] = static_cast<size_t>(out - outputs_[field]);
    return true;
}

// A key with an escape may be any other key, too.
bool JsonRecordReader::read_key(std::string_view& key) {
    const char* const begin = at_ + 1;
    if (peek() != '"' || !skip_string()) {
        return false;
    }
    key = {begin, static_cast<size_t>(at_ - 1 - begin)};
    return key.find('\\') == std::string_view::npos;
}

bool JsonRecordReader::read_string(char*& out) {
    ++at_;
    for (;;) {
        at_ = copy_plain_run(at_, end_, out);
        const char c = peek();
        if (c == '"') {
            ++at_;
            return true;
        }
        if (c == '\\') {
            if (!read_escape(out)) {
                return false;
            }
            continue;
        }
        if (static_cast<uint8_t>(c) < 0x80) {
            return false;
        }
        while (static_cast<uint8_t>(peek()) >= 0x80) {
            const size_t num_bytes = multibyte_length(at_, end_);
            if (num_bytes == 0) {
                return false;
            }
            copy_character(at_, end_, num_bytes, out);
            at_ += num_bytes;
            out += num_bytes;
        }
    }
}

bool JsonRecordReader::read_escape(char*& out) {
    ++at_;
    const char letter = peek();
    if (letter == 'u') {
        return read_unicode_escape(out);
    }
    const char c = escaped(letter);
    *out = c;
    out += c != 0;
    at_ += c != 0;
    return c != 0;
}

// Halves of a surrogate pair are no text by themselves.
bool JsonRecordReader::read_unicode_escape(char*& out) {
    uint32_t code_point = 0;
    if (!read_hex(code_point) || (code_point >= 0xDC00 && code_point < 0xE000)) {
        return false;
    }
    if (code_point >= 0xD800 && code_point < 0xDC00) {
        uint32_t low = 0;
        if (!take('\\') || !read_hex(low) || low < 0xDC00 || low >= 0xE000) {
            return false;
        }
        code_point = 0x10000 + ((code_point - 0xD800) << 10) + (low - 0xDC00);
    }
    out = put_utf8(code_point, out);
    return true;
}

// Reads u and four digits.
bool JsonRecordReader::read_hex(uint32_t& code_unit) {
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

bool JsonRecordReader::read_number() {
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

bool JsonRecordReader::read_digits() {
    const char* const begin = at_;
    while (is_digit(peek())) {
        ++at_;
    }
    return at_ > begin;
}

bool JsonRecordReader::skip_value(int depth) {
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

bool JsonRecordReader::skip_object(int depth) {
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

bool JsonRecordReader::skip_array(int depth) {
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

bool JsonRecordReader::skip_string() {
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

bool JsonRecordReader::skip_escape() {
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

bool JsonRecordReader::skip_literal(std::string_view literal) {
    if (static_cast<size_t>(end_ - at_) < literal.size() || std::string_view(at_, literal.size()) != literal) {
        return false;
    }
    at_ += literal.size();
    return true;
}

}  // namespace textmill::text
