// The text of a regex and a place in it, from which its parsers take what they know.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

namespace textmill::tokenizer {

// A regex that is wrong, or outside of the subset; the message names what it holds and where.
class RegexError : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

// Every function throws RegexError where it cannot take what it is asked for.
class RegexReader {
  public:
    // Refuses what is longer than 65,536 bytes.
    explicit RegexReader(std::string_view regex);

    [[noreturn]] void refuse(const std::string& what) const;
    // The same, for what begins at an earlier place.
    [[noreturn]] void refuse_at(size_t begin, const std::string& what);

    bool at_end() const { return at_ == regex_.size(); }
    bool is_next(std::string_view text) const { return regex_.substr(at_, text.size()) == text; }
    bool is_quantifier_next() const { return is_next("*") || is_next("+") || is_next("?") || is_next("{"); }
    size_t place() const { return at_; }
    std::string_view since(size_t begin) const { return regex_.substr(begin, at_ - begin); }
    std::string_view ahead(size_t num_bytes) const { return regex_.substr(at_, num_bytes); }

    // Moves behind a text if it is next.
    bool take(std::string_view text);
    // What stands before a text that must follow; moves behind that.
    std::string_view take_until(std::string_view end, const std::string& or_refuse);
    uint32_t take_character();
    // A decimal number of at most `most`.
    uint32_t take_number(uint32_t most);
    // Code points in hexadecimal: of so many digits, and of any number of them up to a }.
    uint32_t take_hex(unsigned num_digits);
    uint32_t take_braced_hex();

  private:
    uint32_t take_hex_digit();
    uint32_t checked(uint32_t code_point) const;

    std::string_view regex_;
    size_t at_ = 0;
};

}  // namespace textmill::tokenizer
