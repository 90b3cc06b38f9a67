#include "tokenizer/regex_reader.h"

#include "tokenizer/unicode.h"

namespace textmill::tokenizer {
namespace {

constexpr size_t kMaxRegexBytes = size_t{1} << 16;

}  // namespace

RegexReader::RegexReader(std::string_view regex) : regex_(regex) {
    if (regex.size() > kMaxRegexBytes) {
        throw RegexError("a regex of " + std::to_string(regex.size()) + " bytes, and the most is " +
                         std::to_string(kMaxRegexBytes));
    }
}

void RegexReader::refuse(const std::string& what) const {
    throw RegexError(what + " at byte " + std::to_string(at_) + " of the regex");
}

void RegexReader::refuse_at(size_t begin, const std::string& what) {
    at_ = begin;
    refuse(what);
}

bool RegexReader::take(std::string_view text) {
    if (!is_next(text)) {
        return false;
    }
    at_ += text.size();
    return true;
}

std::string_view RegexReader::take_until(std::string_view end, const std::string& or_refuse) {
    const size_t found = regex_.find(end, at_);
    if (found == std::string_view::npos) {
        refuse(or_refuse);
    }
    const std::string_view taken = regex_.substr(at_, found - at_);
    at_ = found + end.size();
    return taken;
}

uint32_t RegexReader::take_character() {
    if (at_end()) {
        refuse("an end in the middle of something");
    }
    const Char next = char_at(regex_, at_);
    if (next.code_point == kInvalidByte) {
        refuse("a byte that is not UTF-8");
    }
    at_ += next.num_bytes;
    return next.code_point;
}

uint32_t RegexReader::take_number(uint32_t most) {
    uint32_t number = 0;
    const size_t begin = at_;
    while (!at_end() && regex_[at_] >= '0' && regex_[at_] <= '9') {
        number = number * 10 + static_cast<uint32_t>(regex_[at_++] - '0');
        if (number > most) {
            refuse("a quantifier above " + std::to_string(most));
        }
    }
    if (at_ == begin) {
        refuse("a { that is no quantifier such as {1,3}");
    }
    return number;
}

uint32_t RegexReader::take_hex(unsigned num_digits) {
    uint32_t value = 0;
    for (unsigned i = 0; i < num_digits; ++i) {
        value = value * 16 + take_hex_digit();
    }
    return checked(value);
}

uint32_t RegexReader::take_braced_hex() {
    uint32_t value = 0;
    do {
        value = value * 16 + take_hex_digit();
        if (value >= kNumCodePoints) {
            refuse("a code point above U+10FFFF");
        }
    } while (!take("}"));
    return checked(value);
}

uint32_t RegexReader::take_hex_digit() {
    const uint32_t digit = take_character();
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    const uint32_t lower = digit | 0x20;
    if (lower < 'a' || lower > 'f') {
        refuse("an escape that is not hexadecimal");
    }
    return lower - 'a' + 10;
}

uint32_t RegexReader::checked(uint32_t code_point) const {
    if (code_point >= 0xD800 && code_point <= 0xDFFF) {
        refuse("a surrogate, which no text holds,");
    }
    return code_point;
}

}  // namespace textmill::tokenizer
