#include "text/repetition.h"

#include <algorithm>
#include <limits>

#include "text/lines.h"

namespace textmill::text {
namespace {

constexpr uint32_t kOnce = UINT32_MAX;
constexpr size_t kPrefixBytes = 16;

double ratio(size_t part, size_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole)
                     : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

Repetition::Columns Repetition::measure(std::string_view text) {
    Columns columns{};
    const size_t num_characters = count_characters(text);
    const Duplicates paragraphs = duplicates(strip(text), 2);
    columns[kDuplicateParagraphs] = ratio(paragraphs.num_duplicates, paragraphs.num_parts);
    columns[kDuplicateParagraphCharacters] = ratio(paragraphs.num_characters, num_characters);
    const Duplicates lines = duplicates(text, 1);
    columns[kDuplicateLines] = ratio(lines.num_duplicates, lines.num_parts);
    columns[kDuplicateLineCharacters] = ratio(lines.num_characters, num_characters);

    read_words(text);
    number_words();
    for (size_t n = 2; n <= 4; ++n) {
        columns[kTopNgramCharacters + n - 2] = ratio(top_ngram_characters(n), num_characters);
    }
    find_prefixes();
    for (size_t n = 5; n <= 10; ++n) {
        columns[kDuplicateNgramCharacters + n - 5] = ratio(duplicate_ngram_characters(n), num_characters);
    }
    return columns;
}

Repetition::Duplicates Repetition::duplicates(std::string_view text, size_t least_newlines) {
    parts_.clear();
    each_between_newlines(text, least_newlines, [this](std::string_view part) { parts_.push_back(part); });
    Duplicates found{parts_.size(), 0, 0};
    seen_.clear(parts_.size());
    for (const std::string_view part : parts_) {
        if (seen_.add(part)) {
            ++found.num_duplicates;
            found.num_characters += count_characters(part);
        }
    }
    return found;
}

void Repetition::read_words(std::string_view text) {
    split_words(text, words_);
    joined_.clear();
    begins_.assign(1, 0);
    characters_before_.assign(1, 0);
    for (const WordSpan& span : words_) {
        const std::string_view word = text.substr(span.begin, span.end - span.begin);
        joined_ += word;
        begins_.push_back(static_cast<uint32_t>(joined_.size()));
        characters_before_.push_back(characters_before_.back() + static_cast<uint32_t>(count_characters(word)));
    }
}

// A word that is there only once is in no n-gram that is there twice: kOnce.
void Repetition::number_words() {
    word_numbers_.resize(num_words());
    seen_.clear(num_words());
    std::vector<uint32_t>& counts = ngram_numbers_;
    counts.assign(num_words(), 0);
    for (size_t i = 0; i < num_words(); ++i) {
        word_numbers_[i] = seen_.number(joined(i, 1));
        ++counts[word_numbers_[i]];
    }
    for (uint32_t& number : word_numbers_) {
        number = counts[number] > 1 ? number : kOnce;
    }
    ngram_numbers_ = word_numbers_;
}

// Called for n = 2, 3, 4 in turn: n-grams are told apart by the number of their first n - 1 words and their last word.
size_t Repetition::top_ngram_characters(size_t n) {
    if (num_words() < n) {
        return 0;
    }
    const size_t num_ngrams = num_words() - n + 1;
    const auto may_repeat = [this, n](size_t i) {
        return ngram_numbers_[i] != kOnce && ngram_numbers_[i + 1] != kOnce && word_numbers_[i + n - 1] != kOnce;
    };
    size_t capacity = 0;
    for (size_t i = 0; i < num_ngrams; ++i) {
        capacity += may_repeat(i);
    }
    keys_.clear(capacity);
    for (size_t i = 0; i < num_ngrams; ++i) {
        ngram_numbers_[i] = may_repeat(i) ? keys_.add(uint64_t{ngram_numbers_[i]} << 32 | word_numbers_[i + n - 1],
                                                      static_cast<uint32_t>(i))
                                          : kOnce;
    }
    CountedKeys::Count top{1, 0};
    for (const CountedKeys::Count& count : keys_.counts()) {
        top = count.count > top.count ? count : top;
    }
    for (size_t i = 0; i < num_ngrams; ++i) {
        const uint32_t number = ngram_numbers_[i];
        ngram_numbers_[i] = number != kOnce && keys_.counts()[number].count > 1 ? number : kOnce;
    }
    return (characters(top.first, n) + n - 1) * top.count;
}

// Two n-grams that read the same without spaces, of 16 bytes or more, begin with the same 16 bytes. Few words of most
// texts begin such a stretch that is elsewhere too.
void Repetition::find_prefixes() {
    may_repeat_.assign(num_words(), 0);
    keys_.clear(num_words());
    ngram_numbers_.assign(num_words(), kOnce);
    for (size_t i = 0; i < num_words() && begins_[i] + kPrefixBytes <= joined_.size(); ++i) {
        const uint64_t hash = quick_hash({joined_.data() + begins_[i], kPrefixBytes});
        ngram_numbers_[i] = keys_.add(hash, static_cast<uint32_t>(i));
    }
    for (size_t i = 0; i < num_words(); ++i) {
        const uint32_t number = ngram_numbers_[i];
        may_repeat_[i] = number != kOnce && keys_.counts()[number].count > 1;
    }
}

// From left to right, going on behind an n-gram that was there before.
size_t Repetition::duplicate_ngram_characters(size_t n) {
    if (num_words() < n) {
        return 0;
    }
    std::vector<uint32_t>& candidates = ngram_numbers_;
    candidates.clear();
    for (size_t i = 0; i + n <= num_words(); ++i) {
        if (may_repeat_[i] != 0 || begins_[i + n] - begins_[i] < kPrefixBytes) {
            candidates.push_back(static_cast<uint32_t>(i));
        }
    }
    seen_.clear(candidates.size());
    size_t num_characters = 0;
    size_t next = 0;
    for (const uint32_t i : candidates) {
        if (i >= next && seen_.add(joined(i, n))) {
            num_characters += characters(i, n);
            next = i + n;
        }
    }
    return num_characters;
}

}  // namespace textmill::text
