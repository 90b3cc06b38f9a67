// The values of JSON, one after the other: read, or passed over and checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace textmill::text {

// Goes through lines of JSON and never past the end of a line that is not whole. What it takes, Python's json takes,
// too.
class JsonScanner {
  public:
    static constexpr int kMaxDepth = 64;  // Python's own bound depends on who calls

    explicit JsonScanner(std::string_view lines) : at_(lines.data()), end_(lines.data() + lines.size()) {}

    bool is_at_end() const { return at_ == end_; }
    const char* position() const { return at_; }

    // The next byte; the end of the data reads as a line's end.
    char peek() const { return at_ < end_ ? *at_ : '\n'; }

    // Goes behind `c` if that comes next.
    bool take(char c) {
        if (peek() != c) {
            return false;
        }
        ++at_;
        return true;
    }

    void skip_spaces() {
        while (at_ < end_ && (*at_ == ' ' || *at_ == '\t' || *at_ == '\r')) {
            ++at_;
        }
    }

    // Goes behind the end of the line.
    void skip_line();

    // Reads the string that begins here, and writes its UTF-8; returns the end of that, and null where there is no
    // string, or one with half of a surrogate pair.
    char* read_string(char* out);
    // These return false where there is no such value, or an unusual one.
    bool read_number();
    // `depth` is how many objects and lists the value stands in.
    bool skip_value(int depth);
    bool skip_string();
    bool skip_literal(std::string_view literal);

  private:
    static constexpr size_t kMaxNumberBytes = 256;  // int() refuses more than 4,300 digits

    char* read_unicode_escape(char* out);
    bool read_hex(uint32_t& code_unit);
    bool read_digits();
    bool skip_object(int depth);
    bool skip_array(int depth);
    bool skip_escape();

    const char* at_;
    const char* const end_;
};

}  // namespace textmill::text
