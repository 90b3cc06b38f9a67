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
#include "text/ngram_table.h"
#include "text/overlap.h"

namespace textmill::text {

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
    OverlapEntry read_entry(std::string_view text, std::vector<uint64_t>& grams);
    std::vector<uint64_t> anchors_of(const OverlapEntry& entry, const std::vector<uint64_t>& grams,
                                     const std::unordered_map<uint64_t, uint32_t>& num_entries) const;
    void choose_anchors(const std::vector<std::vector<uint64_t>>& grams);
    void scan_document(std::string_view text, int64_t number, OverlapDocument& document, OverlapMatches& found) const;
    std::vector<OverlapHit> find_hits(std::span<const FoldedWord> words) const;
    static void join_same_starts(std::vector<OverlapHit>& hits);
    bool is_sound(const OverlapDocument& document, const OverlapHit& hit) const;
    void compare(const OverlapDocument& document, std::span<const OverlapHit> hits, OverlapMatches& found) const;

    OverlapSettings settings_;
    std::unordered_map<uint64_t, uint32_t> word_numbers_;
    std::vector<OverlapEntry> entries_;
    std::unique_ptr<const NgramTable> ngrams_;
    // Of the first `min_words` words of entries that are shorter than n-grams.
    std::unique_ptr<const NgramTable> beginnings_;
};

}  // namespace textmill::text
