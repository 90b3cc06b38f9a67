#include "text/words.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <stdexcept>
#include <string>

#include "text/byte_window.h"
#include "text/lines.h"
#include "text/word_classes.h"

namespace textmill::text {
namespace {

using tokenizer::Char;

constexpr uint32_t kApostrophe = 0x2019;  // ’

// Goes through one text character by character.
class WordReader {
  public:
    explicit WordReader(std::string_view text) : text_(text), classes_(word_classes()) {}

    // The word that begins at a character that is no white space.
    WordSpan read(size_t begin) const {
        const Char first = tokenizer::char_at(text_, begin);
        const size_t at = begin + first.num_bytes;
        switch (class_of(first)) {
            case WordClass::kSymbol:
                return word(begin, skip_marks(skip_same(at, first.code_point)), false, true);
            case WordClass::kAlone:
                return word(begin, skip_marks(at), true, false);
            default:
                return read_run(begin);
        }
    }

    // The next byte from `at` on that begins a word.
    size_t skip_spaces(size_t at) const {
        return skip(at, [this](const Char& character) { return class_of(character) == WordClass::kSpace; });
    }

  private:
    WordSpan word(size_t begin, size_t end, bool has_letter, bool is_symbol) const {
        const auto to32 = [](size_t number) { return static_cast<uint32_t>(number); };
        const size_t num_characters = count_characters(text_.substr(begin, end - begin));
        return {to32(begin), to32(end), to32(num_characters), has_letter, is_symbol};
    }

    WordClass class_of(const Char& character) const { return classes_[character.code_point]; }

    WordClass class_at(size_t at) const {
        return at < text_.size() ? class_of(tokenizer::char_at(text_, at)) : WordClass::kSpace;
    }

    template <typename Belongs>
    size_t skip(size_t at, Belongs&& belongs) const {
        while (at < text_.size()) {
            const Char character = tokenizer::char_at(text_, at);
            if (!belongs(character)) {
                break;
            }
            at += character.num_bytes;
        }
        return at;
    }

    size_t skip_same(size_t at, uint32_t code_point) const {
        return skip(at, [=](const Char& character) { return character.code_point == code_point; });
    }

    size_t skip_marks(size_t at) const {
        return skip(at, [this](const Char& character) { return class_of(character) == WordClass::kMark; });
    }

    // A run of letters, numbers and marks, with what joins them.
    WordSpan read_run(size_t begin) const {
        size_t at = begin;
        bool has_letter = false;
        WordClass last = WordClass::kMark;
        while (at < text_.size()) {
            const Char character = tokenizer::char_at(text_, at);
            const WordClass now = class_of(character);
            if (now == WordClass::kLetter || now == WordClass::kNumber || now == WordClass::kMark) {
                has_letter |= now == WordClass::kLetter;
                last = now;
            } else if (now != WordClass::kSymbol || !joins(character, last, class_at(at + character.num_bytes))) {
                break;
            }
            at += character.num_bytes;
        }
        return word(begin, at, has_letter, false);
    }

    static bool joins(const Char& character, WordClass before, WordClass after) {
        switch (character.code_point) {
            case '\'':
            case '-':
            case kApostrophe:
                return after == WordClass::kLetter || after == WordClass::kNumber;
            case '.':
            case ',':
                return before == WordClass::kNumber && after == WordClass::kNumber;
            default:
                return false;
        }
    }

    std::string_view text_;
    const WordClassTable& classes_;
};

// What 64 bytes say of the words that begin in them, up to the first byte beyond ASCII. The first byte is white space
// or begins a word; one that the next byte decides, where that is not known, counts as part of the word before it.
struct WordMasks {
    uint64_t high;
    uint64_t letters;
    uint64_t symbols;
    uint64_t words;  // all that is neither white space nor beyond ASCII
    uint64_t begins;
    uint64_t ends;  // the first byte behind a word

    // Reads 65 bytes.
    explicit WordMasks(const char* bytes) {
        const ByteWindow window(bytes);
        high = window.high();
        letters = window.letters();
        const uint64_t digits = window.range('0', 10);
        const uint64_t spaces = window.range('\t', 5) | window.equal(' ');
        constexpr uint64_t kLast = uint64_t{1} << 63;
        const auto between = [this](uint64_t kind) { return kind << 1 & ((kind | high) >> 1 | kLast); };
        const uint64_t joiners = ((window.equal('\'') | window.equal('-')) & between(letters | digits)) |
                                 ((window.equal('.') | window.equal(',')) & between(digits));
        const uint64_t runs = letters | digits | joiners;
        symbols = ~(runs | spaces | high);
        const uint64_t same = symbols & window.equal(ByteWindow(bytes + 1)) << 1;
        const uint64_t goes_on = (runs & runs << 1) | same;
        words = runs | symbols;
        begins = words & ~goes_on;
        ends = words << 1 & ~goes_on;
    }

    // How many of the first `limit` bytes are words that end before it, and white space.
    size_t closed(size_t limit) const {
        const bool is_open = (words >> (limit - 1) & 1) != 0;
        return is_open ? static_cast<size_t>(std::bit_width(begins & low_bits(limit))) - 1 : limit;
    }

    // Writes the words that begin in the first `closed` bytes, the window being at a byte of the text; returns the end.
    WordSpan* add_words(size_t at, size_t closed, WordSpan* out) const {
        uint64_t begins_left = begins & low_bits(closed);
        for (uint64_t ends_left = ends; begins_left != 0; ends_left &= ends_left - 1) {
            const auto begin = static_cast<uint32_t>(std::countr_zero(begins_left));
            const auto end = static_cast<uint32_t>(std::countr_zero(ends_left));
            const uint64_t its_letters = letters >> begin << (kWindowBytes - (end - begin));
            const auto offset = static_cast<uint32_t>(at);
            *out++ = {offset + begin, offset + end, end - begin, its_letters != 0, (symbols >> begin & 1) != 0};
            begins_left &= begins_left - 1;
        }
        return out;
    }
};

}  // namespace

void WordSplitter::make_room() {
    if (words_.size() < num_words_ + kWindowBytes) {
        words_.resize(2 * words_.size() + kWindowBytes);
    }
}

// Goes on with whole windows until it meets a word or a character that it cannot judge, or the end; returns its place.
size_t WordSplitter::split_ascii(std::string_view text, size_t at) {
    char copy[kWindowBytes + 1];
    while (at < text.size()) {
        const size_t num_left = text.size() - at;
        const char* bytes = text.data() + at;
        if (num_left < sizeof(copy)) {
            std::fill_n(std::copy_n(bytes, num_left, copy), sizeof(copy) - num_left, ' ');
            bytes = copy;
        }
        const WordMasks masks(bytes);
        const size_t limit = std::min<size_t>({kWindowBytes, num_left, size_t(std::countr_zero(masks.high))});
        if (limit == 0) {
            return at;
        }
        const size_t closed = limit == num_left && limit < kWindowBytes ? limit : masks.closed(limit);
        make_room();
        WordSpan* const end = masks.add_words(at, closed, words_.data() + num_words_);
        num_words_ = static_cast<size_t>(end - words_.data());
        at += closed;
        if (closed == 0 || masks.high != 0) {
            return at;
        }
    }
    return at;
}

std::span<const WordSpan> WordSplitter::split(std::string_view text) {
    if (text.size() > std::numeric_limits<uint32_t>::max()) {
        throw std::length_error("a text has " + std::to_string(text.size()) + " bytes; words are found in up to 4 GiB");
    }
    num_words_ = 0;
    const WordReader reader(text);
    for (size_t at = 0; at < text.size();) {
        at = split_ascii(text, at);
        do {
            at = reader.skip_spaces(at);
            if (at < text.size()) {
                make_room();
                words_[num_words_] = reader.read(at);
                at = words_[num_words_++].end;
            }
        } while (at < text.size() && has_high_byte_soon(text, at));
    }
    return {words_.data(), num_words_};
}

}  // namespace textmill::text
