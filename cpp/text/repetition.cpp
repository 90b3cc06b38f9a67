#include "text/repetition.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "text/lines.h"
#include "text/little_endian.h"

namespace textmill::text {
namespace {

constexpr uint32_t kOnce = UINT32_MAX;
constexpr size_t kPadding = 16;
constexpr size_t kPrefixBytes = 16;
constexpr size_t kShortPrefixBytes = 8;
constexpr size_t kMostCounted = 4;  // words of the n-grams of which the most frequent is looked for
constexpr size_t kShortest = 5;     // of the n-grams that are looked for anywhere

// Or-ed to a number: what stays of it is the number, or kOnce.
uint32_t kept_if(bool is_repeated) {
    return uint32_t{is_repeated} - 1;
}

double ratio(size_t part, size_t whole) {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole)
                     : std::numeric_limits<double>::quiet_NaN();
}

// Copies more than there is where both have room for it: a call for some bytes takes longer than these.
char* copy_word(std::string_view text, const WordSpan& word, char* to) {
    const size_t size = word.end - word.begin;
    if (size <= kPadding && word.begin + kPadding <= text.size()) [[likely]] {
        std::memcpy(to, text.data() + word.begin, kPadding);
    } else {
        std::memcpy(to, text.data() + word.begin, size);
    }
    return to + size;
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
    for (size_t n = 2; n <= kMostCounted; ++n) {
        columns[kTopNgramCharacters + n - 2] = ratio(top_ngram_characters(n), num_characters);
    }
    find_candidates();
    for (size_t n = kShortest; n <= 10; ++n) {
        columns[kDuplicateNgramCharacters + n - kShortest] = ratio(duplicate_ngram_characters(n), num_characters);
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
    const std::span<const WordSpan> words = splitter_.split(text);
    joined_.resize(std::max(joined_.size(), text.size() + kPadding));
    begins_.resize(words.size() + 1);
    characters_before_.resize(words.size() + 1);
    char* end = joined_.data();
    uint32_t num_characters = 0;
    for (size_t i = 0; i < words.size(); ++i) {
        begins_[i] = static_cast<uint32_t>(end - joined_.data());
        characters_before_[i] = num_characters;
        num_characters += words[i].num_characters;
        end = copy_word(text, words[i], end);
    }
    begins_.back() = static_cast<uint32_t>(end - joined_.data());
    characters_before_.back() = num_characters;
}

// A word that is there only once is in no n-gram that is there twice: kOnce.
void Repetition::number_words() {
    word_numbers_.assign(num_words() + kMostCounted, kOnce);  // nothing begins behind the end
    seen_.clear(num_words());
    word_counts_.assign(num_words(), 0);
    for (size_t i = 0; i < num_words(); ++i) {
        word_numbers_[i] = seen_.number_padded(joined(i, 1));
        ++word_counts_[word_numbers_[i]];
    }
    repeated_.resize(num_words());
    size_t num_repeated = 0;
    for (size_t i = 0; i < num_words(); ++i) {
        const bool is_repeated = word_counts_[word_numbers_[i]] > 1;
        word_numbers_[i] |= kept_if(is_repeated);
        repeated_[num_repeated] = static_cast<uint32_t>(i);
        num_repeated += is_repeated;
    }
    repeated_.resize(num_repeated);
    ngram_numbers_ = word_numbers_;
}

// Called for n = 2, 3, 4 in turn: n-grams are told apart by the number of their first n - 1 words and their last word,
// and only those are looked at whose first and last n - 1 words are there more than once.
size_t Repetition::top_ngram_characters(size_t n) {
    if (num_words() < n) {
        return 0;
    }
    size_t num_candidates = 0;
    for (const uint32_t i : repeated_) {
        repeated_[num_candidates] = i;
        num_candidates += (ngram_numbers_[i + 1] != kOnce) & (word_numbers_[i + n - 1] != kOnce);
    }
    repeated_.resize(num_candidates);
    keys_.clear(num_candidates);
    for (const uint32_t i : repeated_) {
        ngram_numbers_[i] = keys_.add(uint64_t{ngram_numbers_[i]} << 32 | word_numbers_[i + n - 1], i);
    }
    CountedKeys::Counted top{0, 1, 0};
    for (const CountedKeys::Counted& counted : keys_.counted()) {
        top = counted.count > top.count ? counted : top;
    }
    keep_repeated();
    return (characters(top.first, n) + n - 1) * top.count;
}

// Leaves in repeated_ what is there more than once, and in ngram_numbers_ kOnce for all else.
void Repetition::keep_repeated() {
    word_counts_.assign(word_numbers_.size(), kOnce);
    size_t num_repeated = 0;
    for (const uint32_t i : repeated_) {
        const bool is_repeated = keys_.counted()[ngram_numbers_[i]].count > 1;
        word_counts_[i] = ngram_numbers_[i] | kept_if(is_repeated);
        repeated_[num_repeated] = i;
        num_repeated += is_repeated;
    }
    repeated_.resize(num_repeated);
    ngram_numbers_.swap(word_counts_);
}

// Two n-grams that read the same without spaces begin with the same 8 bytes, and with the same 16 where they are that
// long. Few words of most texts begin such a stretch that is elsewhere too; those that share 8 bytes are asked for 16.
void Repetition::find_candidates() {
    candidates_.clear();
    if (num_words() < kShortest) {
        return;
    }
    const size_t num_starts = num_words() - kShortest + 1;
    twins_.clear(num_starts);
    places_.resize(num_starts);
    for (size_t i = 0; i < num_starts; ++i) {
        places_[i] = twins_.add(word_at(joined_.data() + begins_[i]));
    }
    candidates_.resize(num_starts);
    size_t num_candidates = 0;
    for (size_t i = 0; i < num_starts; ++i) {
        candidates_[num_candidates].word = static_cast<uint32_t>(i);
        num_candidates += twins_.has_twin(places_[i]) | (num_bytes(i, kShortest) < kShortPrefixBytes);
    }
    candidates_.resize(num_candidates);
    twins_.clear(num_candidates);
    for (size_t i = 0; i < num_candidates; ++i) {
        const char* const at = joined_.data() + begins_[candidates_[i].word];
        places_[i] = twins_.add(word_at(at) * 0xD6E8FEB86659FD93 ^ word_at(at + kShortPrefixBytes));
    }
    for (size_t i = 0; i < num_candidates; ++i) {
        candidates_[i].has_long_twin = twins_.has_twin(places_[i]);
    }
}

// From left to right, going on behind an n-gram that was there before. Called for n = 5 to 10 in turn.
size_t Repetition::duplicate_ngram_characters(size_t n) {
    std::erase_if(candidates_, [this, n](const Candidate& candidate) {
        if (candidate.word + n > num_words()) {
            return true;
        }
        return !candidate.has_long_twin && num_bytes(candidate.word, n) >= kPrefixBytes;
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
