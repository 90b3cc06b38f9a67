#include "text/repetition.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "text/lines.h"

namespace textmill::text {
namespace {

constexpr uint32_t kOnce = UINT32_MAX;
constexpr size_t kPrefixBytes = 16;
constexpr size_t kShortest = 5;  // of the n-grams that are looked for anywhere

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
    const bool is_ascii = count_characters(text) == text.size();
    joined_.resize(text.size());
    begins_.resize(words_.size() + 1);
    characters_before_.resize(words_.size() + 1);
    char* end = joined_.data();
    uint32_t num_characters = 0;
    for (size_t i = 0; i < words_.size(); ++i) {
        const std::string_view word = text.substr(words_[i].begin, words_[i].end - words_[i].begin);
        begins_[i] = static_cast<uint32_t>(end - joined_.data());
        characters_before_[i] = num_characters;
        num_characters += static_cast<uint32_t>(is_ascii ? word.size() : count_characters(word));
        end = std::copy(word.begin(), word.end(), end);
    }
    joined_.resize(static_cast<size_t>(end - joined_.data()));
    begins_.back() = static_cast<uint32_t>(joined_.size());
    characters_before_.back() = num_characters;
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
    CountedKeys::Counted top{0, 1, 0};
    for (const CountedKeys::Counted& count : keys_.counted()) {
        top = count.count > top.count ? count : top;
    }
    for (size_t i = 0; i < num_ngrams; ++i) {
        const uint32_t number = ngram_numbers_[i];
        ngram_numbers_[i] = number != kOnce && keys_.counted()[number].count > 1 ? number : kOnce;
    }
    return (characters(top.first, n) + n - 1) * top.count;
}

// Two n-grams that read the same without spaces, of 16 bytes or more, begin with the same 16 bytes. Few words of most
// texts begin such a stretch that is elsewhere too. Counts share places, so that some words are taken for nothing.
void Repetition::find_prefixes() {
    const size_t num_places = std::bit_ceil(8 * num_words() + 1);
    const int shift = 64 - std::countr_zero(num_places);
    counts_.assign(num_places, 0);
    size_t num_prefixes = 0;
    std::vector<uint32_t>& places = ngram_numbers_;
    for (; num_prefixes < num_words() && begins_[num_prefixes] + kPrefixBytes <= joined_.size(); ++num_prefixes) {
        const uint64_t hash = quick_hash({joined_.data() + begins_[num_prefixes], kPrefixBytes});
        const auto place = static_cast<uint32_t>(hash * 0x9E3779B97F4A7C15 >> shift);
        places[num_prefixes] = place;
        counts_[place] = static_cast<uint8_t>(counts_[place] + 1 - (counts_[place] >> 1));  // 0, 1, 2, 2
    }
    candidates_.clear();
    for (size_t i = 0; i + kShortest <= num_words(); ++i) {
        if ((i < num_prefixes && counts_[places[i]] > 1) || num_bytes(i, kShortest) < kPrefixBytes) {
            candidates_.push_back({static_cast<uint32_t>(i), i < num_prefixes && counts_[places[i]] > 1});
        }
    }
}

// From left to right, going on behind an n-gram that was there before. Called for n = 5 to 10 in turn.
size_t Repetition::duplicate_ngram_characters(size_t n) {
    std::erase_if(candidates_, [this, n](const Candidate& candidate) {
        return candidate.word + n > num_words() ||
               (!candidate.has_twin && num_bytes(candidate.word, n) >= kPrefixBytes);
    });
    seen_.clear(candidates_.size());
    size_t num_characters = 0;
    size_t next = 0;
    for (const Candidate& candidate : candidates_) {
        const size_t i = candidate.word;
        if (i >= next && seen_.add(joined(i, n))) {
            num_characters += characters(i, n);
            next = i + n;
        }
    }
    return num_characters;
}

}  // namespace textmill::text
