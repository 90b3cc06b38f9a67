// Eval items found in documents: n-grams of words that both have lead to stretches that are compared with the item.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/folded_words.h"
#include "text/lcs.h"
#include "text/ngram_table.h"

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

// An item found in a document. Places are bytes of the document.
struct OverlapMatch {
    int64_t document;
    int64_t entry;
    int64_t begin;
    int64_t end;
    int64_t ngram_begin;  // the first n-gram that led here
    int64_t ngram_end;
    double ratio;
};

struct OverlapMatches {
    std::vector<OverlapMatch> matches;  // by document, entry and place
    std::vector<int64_t> num_rejected;  // for each entry: documents that share an n-gram with it and do not match
};

// Immutable; any thread may use it.
class NgramIndex {
  public:
    NgramIndex(std::span<const std::string_view> entries, const OverlapSettings& settings);

    // Finds entries in documents. The result does not depend on the number of threads; zero is one for each core.
    OverlapMatches scan(std::span<const std::string_view> documents, unsigned num_threads) const;

    // Words of each entry.
    std::vector<int64_t> num_words() const;

  private:
    struct Entry {
        std::vector<uint32_t> words;       // by their numbers
        std::vector<uint32_t> characters;  // folded, only for kBlocks
        std::vector<uint64_t> ngrams;      // distinct, ascending, only for kContainment
        OverlapMeasure measure = OverlapMeasure::kWhole;
    };
    struct Hit;
    struct Stretch {  // words of a document
        size_t begin;
        size_t end;
    };
    struct Document;

    Entry read_entry(std::string_view text, std::vector<uint64_t>& grams);
    std::vector<uint64_t> anchors_of(const Entry& entry, const std::vector<uint64_t>& grams,
                                     const std::unordered_map<uint64_t, uint32_t>& num_entries) const;
    void choose_anchors(const std::vector<std::vector<uint64_t>>& grams);
    void scan_document(std::string_view text, int64_t number, Document& document, OverlapMatches& found) const;
    std::vector<Hit> find_hits(std::span<const FoldedWord> words) const;
    static void join_same_starts(std::vector<Hit>& hits);
    bool is_sound(const Document& document, const Hit& hit) const;
    void compare(const Document& document, std::span<const Hit> hits, OverlapMatches& found) const;
    Overlap overlap_of(const Document& document, const Entry& entry, const Hit& hit) const;
    static Overlap subsequence_in(const Document& document, const Entry& entry, const Stretch& in);
    static Overlap blocks_in(const Document& document, const Entry& entry, const Stretch& in);
    Overlap ngrams_in(const Document& document, const Entry& entry, const Stretch& in) const;
    static double ratio_of(const Entry& entry, const Overlap& overlap);
    bool is_match(const Entry& entry, double ratio) const;

    OverlapSettings settings_;
    std::unordered_map<uint64_t, uint32_t> word_numbers_;
    std::vector<Entry> entries_;
    std::unique_ptr<const NgramTable> ngrams_;
    std::unique_ptr<const NgramTable>
        beginnings_;  // the first `min_words` words of entries that are shorter than n-grams
};

}  // namespace textmill::text
