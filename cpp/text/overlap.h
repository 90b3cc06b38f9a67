// How a stretch of a document is compared with an item that it shares an n-gram of words with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/folded_words.h"
#include "text/lcs.h"

namespace textmill::text {

// How a stretch of a document that shares an n-gram with an item is compared with it.
enum class OverlapMeasure : uint8_t {
    kSubsequence,  // longest common subsequence of words / words of the item, at least `min_ratio`
    kBlocks,       // characters in matching blocks of more than 5 / characters of the item, above `min_ratio`
    kNgram,        // not at all: the n-gram is enough
    kWhole,        // all words of the item, in a row
    kContainment,  // distinct n-grams of the item that the stretch has / all of them, at least `min_ratio`
};

struct OverlapSettings {
    size_t ngram;  // words
    size_t
        min_words;  // items with fewer are not looked for; of the others, those shorter than `ngram` are compared whole
    OverlapMeasure measure;
    double min_ratio;
};

// A text of an item.
struct OverlapEntry {
    std::vector<uint32_t> words;       // by their numbers
    std::vector<uint32_t> characters;  // folded, only for kBlocks
    std::vector<uint64_t> ngrams;      // distinct, ascending, only for kContainment
    OverlapMeasure measure = OverlapMeasure::kWhole;
};

struct OverlapDocument {
    int64_t number = 0;
    std::string_view text;
    std::vector<FoldedWord> words;
    std::vector<uint32_t> word_numbers;  // those of entries; words of no entry have another number
};

// An entry and a document that share n-grams as far apart in both: where the entry's first word would stand.
struct OverlapHit {
    uint32_t entry;
    int64_t start;    // word of the document, below zero where the document begins inside the entry
    uint32_t ngram;   // word of the document where the first of the shared n-grams begins
    uint32_t last;    // and the last one
    uint32_t length;  // of the n-grams, in words
};

// The overlap of an entry with the words around a hit, half of the entry's length on either side. `begin` and `end` are
// words of the document, at least one. n-grams of kContainment have `ngram` words.
Overlap overlap_of(const OverlapDocument& document, const OverlapEntry& entry, const OverlapHit& hit, size_t ngram);

// How much of an entry an overlap is, and whether that makes it a match.
double ratio_of(const OverlapEntry& entry, const Overlap& overlap);
bool is_match(const OverlapEntry& entry, double ratio, double min_ratio);

}  // namespace textmill::text
