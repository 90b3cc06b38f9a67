#include "text/overlap.h"

#include <algorithm>
#include <utility>

#include "text/ngram_table.h"

namespace textmill::text {
namespace {

constexpr size_t kShorterDropped = 5;  // characters: matching blocks up to this length are chance

// Words [begin, end) of a document.
struct Stretch {
    size_t begin;
    size_t end;
};

Overlap subsequence_in(const OverlapDocument& document, const OverlapEntry& entry, const Stretch& in) {
    Overlap overlap = longest_common_subsequence(entry.words, {&document.word_numbers[in.begin], in.end - in.begin});
    overlap.begin += in.begin;
    overlap.end += in.begin;
    return overlap;
}

Overlap blocks_in(const OverlapDocument& document, const OverlapEntry& entry, const Stretch& in) {
    const FoldedWord* const words = document.words.data();
    const Overlap found = matching_blocks(
        entry.characters, folded_characters(document.text, words + in.begin, words + in.end), kShorterDropped);
    Overlap overlap{found.length, in.end, in.begin};
    size_t at = 0;  // character where a word begins
    for (size_t i = in.begin; i < in.end; ++i) {
        const size_t end = at + folded_characters(document.text, words + i, words + i + 1).size();
        if (at < found.end && end > found.begin) {
            overlap.begin = std::min(overlap.begin, i);
            overlap.end = i + 1;
        }
        at = end + 1;
    }
    return overlap;
}

Overlap ngrams_in(const OverlapDocument& document, const OverlapEntry& entry, const Stretch& in, size_t ngram) {
    std::vector<uint64_t> seen;
    Overlap overlap{0, in.end, in.begin};
    each_ngram({&document.words[in.begin], in.end - in.begin}, ngram, [&](uint64_t hash, size_t at) {
        if (std::binary_search(entry.ngrams.begin(), entry.ngrams.end(), hash)) {
            seen.push_back(hash);
            overlap.begin = std::min(overlap.begin, in.begin + at);
            overlap.end = in.begin + at + ngram;
        }
    });
    std::sort(seen.begin(), seen.end());
    overlap.length = static_cast<size_t>(std::unique(seen.begin(), seen.end()) - seen.begin());
    return overlap;
}

}  // namespace

Overlap overlap_of(const OverlapDocument& document, const OverlapEntry& entry, const OverlapHit& hit, size_t ngram) {
    const auto num_words = static_cast<int64_t>(entry.words.size());
    const auto document_size = static_cast<int64_t>(document.words.size());
    const Stretch stretch{
        static_cast<size_t>(std::max<int64_t>(0, hit.start - num_words / 2)),
        static_cast<size_t>(std::min(document_size, hit.start + num_words + num_words / 2)),
    };
    switch (entry.measure) {
        case OverlapMeasure::kSubsequence:
            return subsequence_in(document, entry, stretch);
        case OverlapMeasure::kBlocks:
            return blocks_in(document, entry, stretch);
        case OverlapMeasure::kContainment:
            return ngrams_in(document, entry, stretch, ngram);
        case OverlapMeasure::kNgram:
            return {hit.last + hit.length - hit.ngram, hit.ngram, size_t{hit.last} + hit.length};
        case OverlapMeasure::kWhole:
            break;
    }
    const bool is_inside = hit.start >= 0 && hit.start + num_words <= document_size;
    const bool is_same =
        is_inside && std::equal(entry.words.begin(), entry.words.end(), document.word_numbers.begin() + hit.start);
    const size_t begin = is_same ? static_cast<size_t>(hit.start) : hit.ngram;
    return {is_same ? entry.words.size() : 0, begin, begin + (is_same ? entry.words.size() : 1)};
}

double ratio_of(const OverlapEntry& entry, const Overlap& overlap) {
    const size_t size = entry.measure == OverlapMeasure::kBlocks        ? entry.characters.size()
                        : entry.measure == OverlapMeasure::kContainment ? entry.ngrams.size()
                                                                        : entry.words.size();
    return static_cast<double>(overlap.length) / static_cast<double>(size);
}

bool is_match(const OverlapEntry& entry, double ratio, double min_ratio) {
    switch (entry.measure) {
        case OverlapMeasure::kNgram:
            return true;
        case OverlapMeasure::kWhole:
            return ratio == 1;
        case OverlapMeasure::kBlocks:
            return ratio > min_ratio;
        default:
            return ratio >= min_ratio;
    }
}

}  // namespace textmill::text
