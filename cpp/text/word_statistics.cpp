#include "text/word_statistics.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "text/lines.h"

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

bool is_all_in(std::string_view word, const CharacterSet& set) {
    for (size_t at = 0; at < word.size();) {
        const tokenizer::Char character = tokenizer::char_at(word, at);
        if (!set.has(character.code_point)) {
            return false;
        }
        at += character.num_bytes;
    }
    return true;
}

constexpr uint32_t packed(std::string_view word) {
    uint32_t four = 0;
    for (size_t i = 0; i < word.size(); ++i) {
        four |= uint32_t{static_cast<uint8_t>(word[i])} << (8 * i);
    }
    return four;
}

// A bit for the stop word that a word is, or 0.
unsigned stop_word_bit(std::string_view word) {
    constexpr std::array<uint32_t, 8> kStopWords{packed("the"), packed("be"),   packed("to"),   packed("of"),
                                                 packed("and"), packed("that"), packed("have"), packed("with")};
    if (word.size() < 2 || word.size() > 4) {
        return 0;
    }
    const uint32_t four = packed(word);
    unsigned bits = 0;
    for (unsigned i = 0; i < kStopWords.size(); ++i) {
        bits |= unsigned{four == kStopWords[i]} << i;
    }
    return bits;
}

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
    unsigned stop_words = 0;
    const bool is_ascii = count_characters(text) == text.size();
    for (const WordSpan& span : words) {
        const std::string_view word = text.substr(span.begin, span.end - span.begin);
        if (!is_all_in(word, punctuation)) {
            ++num_words;
            num_characters += is_ascii ? word.size() : count_characters(word);
        }
        num_with_letter += span.has_letter;
        stop_words |= stop_word_bit(word);
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
            static_cast<double>(std::popcount(stop_words))};
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
