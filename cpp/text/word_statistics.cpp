#include "text/word_statistics.h"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "text/lines.h"
#include "text/little_endian.h"

namespace textmill::text {
namespace {

constexpr std::string_view kEllipsis = "…";
constexpr size_t kShortLine = 30;  // characters

double ratio(size_t part, size_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole)
                     : std::numeric_limits<double>::quiet_NaN();
}

size_t count_of(std::string_view text, std::string_view part) {
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) {
        ++count;
    }
    return count;
}

bool is_all_in(std::string_view characters, const CharacterSet& set) {
    for (size_t at = 0; at < characters.size();) {
        const tokenizer::Char character = tokenizer::char_at(characters, at);
        if (!set.has(character.code_point)) {
            return false;
        }
        at += character.num_bytes;
    }
    return true;
}

// The first byte says it of nearly all words: of a run of one symbol of ASCII, and of those that begin with none of
// the set.
bool is_all_in(std::string_view text, const WordSpan& word, const CharacterSet& set) {
    const auto first = static_cast<uint8_t>(text[word.begin]);
    const bool begins_in = first < 0x80 && set.has(first);
    const bool is_ascii = word.end - word.begin == word.num_characters;
    if (first >= 0x80 || (begins_in & !(word.is_symbol & is_ascii))) [[unlikely]] {
        return is_all_in(text.substr(word.begin, word.end - word.begin), set);
    }
    return begins_in;
}

constexpr uint32_t packed(std::string_view word) {
    uint32_t four = 0;
    for (size_t i = 0; i < word.size(); ++i) {
        four |= uint32_t{static_cast<uint8_t>(word[i])} << (8 * i);
    }
    return four;
}

// Which stop words were there: each word is compared with all of them at once.
class StopWords {
  public:
    explicit StopWords(std::string_view text) : text_(text) {}

    void add(const WordSpan& word) {
        constexpr std::array<uint32_t, 6> kFirstBytes{0,        0xFF,       0xFFFF,
                                                      0xFFFFFF, 0xFFFFFFFF, 0};  // none of longer words
        const size_t size = std::min<size_t>(word.end - word.begin, kFirstBytes.size() - 1);
        const uint32_t four = four_bytes(word.begin) & kFirstBytes[size];
        short_ |= Four{packed("the"), packed("be"), packed("to"), packed("of")} == four;
        long_ |= Four{packed("and"), packed("that"), packed("have"), packed("with")} == four;
    }

    size_t count() const {
        size_t count = 0;
        for (int i = 0; i < 4; ++i) {
            count += (short_[i] != 0) + (long_[i] != 0);
        }
        return count;
    }

  private:
    // GCC's and Clang's vectors.
    typedef uint32_t Four __attribute__((vector_size(16)));
    typedef int32_t Found __attribute__((vector_size(16)));

    uint32_t four_bytes(size_t begin) const {
        if (text_.size() - begin >= sizeof(uint32_t)) [[likely]] {
            return static_cast<uint32_t>(word_at(text_.data() + begin, sizeof(uint32_t)));
        }
        return packed(text_.substr(begin));
    }

    std::string_view text_;
    Found short_{};
    Found long_{};
};

// A line is looked at without the white space at its ends.
struct LineEnds {
    size_t num_lines = 0;
    size_t num_bullets = 0;
    size_t num_ellipses = 0;

    explicit LineEnds(std::string_view text) {
        each_line(text, [this](std::string_view line) {
            ++num_lines;
            const std::string_view from_left = strip_left(line);
            num_bullets += from_left.starts_with("•") || from_left.starts_with("-");
            const std::string_view to_right = strip_right(line);
            num_ellipses += to_right.ends_with("...") || to_right.ends_with(kEllipsis);
        });
    }
};

bool ends_in(std::string_view line, const CharacterSet& set) {
    size_t begin = line.size() - 1;
    while (begin > 0 && line.size() - begin < 4 && (static_cast<uint8_t>(line[begin]) & 0xC0) == 0x80) {
        --begin;
    }
    const tokenizer::Char last = tokenizer::char_at(line, begin);
    return last.num_bytes == line.size() - begin && set.has(last.code_point);
}

}  // namespace

std::array<double, kNumQualityColumns> WordStatistics::quality(std::string_view text, const CharacterSet& punctuation) {
    const std::span<const WordSpan> words = splitter_.split(text);
    size_t num_words = 0;
    size_t num_characters = 0;
    size_t num_with_letter = 0;
    StopWords stop_words(text);
    for (const WordSpan& word : words) {
        const bool is_proper = !is_all_in(text, word, punctuation);
        num_words += is_proper;
        num_characters += is_proper ? word.num_characters : 0;
        num_with_letter += word.has_letter;
        stop_words.add(word);
    }
    const LineEnds ends(text);
    const size_t num_all = words.size();
    const auto num_hashes = static_cast<size_t>(std::count(text.begin(), text.end(), '#'));
    return {static_cast<double>(num_words),
            ratio(num_characters, num_words),
            ratio(num_hashes, num_all),
            ratio(count_of(text, "...") + count_of(text, kEllipsis), num_all),
            ratio(ends.num_bullets, ends.num_lines),
            ratio(ends.num_ellipses, ends.num_lines),
            ratio(num_with_letter, num_all),
            static_cast<double>(stop_words.count())};
}

std::array<double, kNumLineColumns> WordStatistics::lines(std::string_view text, const CharacterSet& end_marks) {
    lines_.clear();
    each_between_newlines(text, 1, [this](std::string_view line) {
        if (!strip_left(line).empty()) {
            lines_.push_back(line);
        }
    });
    size_t num_ended = 0;
    size_t num_short = 0;
    size_t duplicate_characters = 0;
    seen_.clear(lines_.size());
    for (const std::string_view line : lines_) {
        const size_t length = count_characters(line);
        num_ended += ends_in(line, end_marks);
        num_short += length <= kShortLine;
        duplicate_characters += seen_.add(line) ? length : 0;
    }
    const auto num_newlines = static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
    const size_t num_words = splitter_.split(text).size();
    return {static_cast<double>(lines_.size()), ratio(num_ended, lines_.size()), ratio(num_short, lines_.size()),
            ratio(duplicate_characters, count_characters(text) - num_newlines), ratio(num_newlines, num_words)};
}

}  // namespace textmill::text
