#include "text/ngram_index.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <tuple>
#include <unordered_set>

#include "tokenizer/parallel.h"

namespace textmill::text {
namespace {

constexpr size_t kTaskBytes = size_t{1} << 20;
// N-grams of more items than this are a template around them, and lead to none that has n-grams of its own.
constexpr uint32_t kTemplateItems = 1000;
constexpr uint32_t kUnknownWord = std::numeric_limits<uint32_t>::max();

std::vector<uint64_t> ngram_hashes(std::span<const FoldedWord> words, size_t n) {
    std::vector<uint64_t> hashes;
    each_ngram(words, n, [&hashes](uint64_t hash, size_t) { hashes.push_back(hash); });
    return hashes;
}

std::vector<uint64_t> distinct(std::vector<uint64_t> values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return values;
}

// How many of `size` things a ratio asks for.
ptrdiff_t num_needed(double ratio, size_t size) {
    return std::max<ptrdiff_t>(1, static_cast<ptrdiff_t>(std::ceil(ratio * static_cast<double>(size) - 1e-9)));
}

}  // namespace

NgramIndex::NgramIndex(std::span<const std::string_view> entries, const OverlapSettings& settings)
    : settings_(settings) {
    if (settings.ngram < 1 || settings.min_words < 1 || entries.size() >= kUnknownWord) {
        throw std::invalid_argument("ngram and min_words must be 1 or more, and items fewer than 2^32");
    }
    std::vector<std::vector<uint64_t>> grams(entries.size());
    entries_.reserve(entries.size());
    for (size_t i = 0; i < entries.size(); ++i) {
        entries_.push_back(read_entry(entries[i], grams[i]));
    }
    choose_anchors(grams);
}

OverlapEntry NgramIndex::read_entry(std::string_view text, std::vector<uint64_t>& grams) {
    std::vector<FoldedWord> words;
    read_folded_words(text, words);
    OverlapEntry entry;
    for (const FoldedWord& word : words) {
        const auto next_number = static_cast<uint32_t>(word_numbers_.size());
        entry.words.push_back(word_numbers_.try_emplace(word.hash, next_number).first->second);
    }
    const bool is_long = words.size() >= settings_.ngram;
    entry.measure = is_long ? settings_.measure : OverlapMeasure::kWhole;
    if (words.size() >= settings_.min_words) {
        grams = ngram_hashes(words, is_long ? settings_.ngram : settings_.min_words);
    }
    if (entry.measure == OverlapMeasure::kWhole && grams.size() > 1) {
        grams.erase(grams.begin() + 1, grams.end());
    }
    if (entry.measure == OverlapMeasure::kBlocks) {
        entry.characters = folded_characters(text, words.data(), words.data() + words.size());
    }
    if (entry.measure == OverlapMeasure::kContainment) {
        entry.ngrams = distinct(grams);
    }
    return entry;
}

// Which n-grams lead to an entry, ascending: all but those of a template. For containment the rarest ones do: of any
// set that has all n-grams of the entry but as many as may be missing, one at least is found where the ratio is
// reached.
std::vector<uint64_t> NgramIndex::anchors_of(const OverlapEntry& entry, const std::vector<uint64_t>& grams,
                                             const std::unordered_map<uint64_t, uint32_t>& num_entries) const {
    struct Candidate {
        uint32_t num_entries;
        size_t place;  // where it comes first
        uint64_t gram;
    };
    std::vector<Candidate> candidates;
    std::unordered_set<uint64_t> seen;
    for (size_t at = 0; at < grams.size(); ++at) {
        if (seen.insert(grams[at]).second) {
            candidates.push_back({num_entries.at(grams[at]), at, grams[at]});
        }
    }
    std::sort(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
        return std::tie(a.num_entries, a.place) < std::tie(b.num_entries, b.place);
    });
    if (entry.measure == OverlapMeasure::kContainment && !candidates.empty()) {
        candidates.erase(candidates.end() - num_needed(settings_.min_ratio, candidates.size()) + 1, candidates.end());
    } else if (!candidates.empty()) {
        const uint32_t most = std::max(kTemplateItems, candidates.front().num_entries);
        std::erase_if(candidates, [most](const Candidate& candidate) { return candidate.num_entries > most; });
    }
    std::vector<uint64_t> anchors;
    for (const Candidate& candidate : candidates) {
        anchors.push_back(candidate.gram);
    }
    std::sort(anchors.begin(), anchors.end());
    return anchors;
}

void NgramIndex::choose_anchors(const std::vector<std::vector<uint64_t>>& grams) {
    std::unordered_map<uint64_t, uint32_t> num_entries;
    for (const std::vector<uint64_t>& of_entry : grams) {
        for (const uint64_t gram : distinct(of_entry)) {
            ++num_entries[gram];
        }
    }
    std::vector<NgramTable::Gram> ngrams;
    std::vector<NgramTable::Gram> beginnings;
    for (size_t i = 0; i < grams.size(); ++i) {
        const OverlapEntry& entry = entries_[i];
        const bool is_short = entry.words.size() < settings_.ngram;
        const std::vector<uint64_t> anchors = anchors_of(entry, grams[i], num_entries);
        for (size_t at = 0; at < grams[i].size(); ++at) {
            if (std::binary_search(anchors.begin(), anchors.end(), grams[i][at])) {
                (is_short ? beginnings : ngrams)
                    .push_back({grams[i][at], {static_cast<uint32_t>(i), static_cast<uint32_t>(at)}});
            }
        }
    }
    ngrams_ = std::make_unique<const NgramTable>(settings_.ngram, std::move(ngrams));
    beginnings_ = std::make_unique<const NgramTable>(settings_.min_words, std::move(beginnings));
}

std::vector<int64_t> NgramIndex::num_words() const {
    std::vector<int64_t> counts;
    for (const OverlapEntry& entry : entries_) {
        counts.push_back(static_cast<int64_t>(entry.words.size()));
    }
    return counts;
}

OverlapMatches NgramIndex::scan(std::span<const std::string_view> documents, unsigned num_threads) const {
    std::vector<size_t> task_ends;
    size_t num_bytes = 0;
    for (size_t i = 0; i < documents.size(); ++i) {
        if (documents[i].size() > std::numeric_limits<uint32_t>::max()) {
            throw std::invalid_argument("a document is longer than 4 GiB");
        }
        num_bytes += documents[i].size();
        if (num_bytes >= kTaskBytes || i + 1 == documents.size()) {
            task_ends.push_back(i + 1);
            num_bytes = 0;
        }
    }
    const unsigned threads = tokenizer::threads_for(num_threads, task_ends.size());
    std::vector<OverlapMatches> found(task_ends.size());
    std::vector<OverlapDocument> in_hand(threads);
    tokenizer::run_tasks(task_ends.size(), threads, [&](size_t task, unsigned thread) {
        for (size_t i = task == 0 ? 0 : task_ends[task - 1]; i < task_ends[task]; ++i) {
            scan_document(documents[i], static_cast<int64_t>(i), in_hand[thread], found[task]);
        }
    });
    OverlapMatches all{{}, std::vector<int64_t>(entries_.size(), 0)};
    for (const OverlapMatches& part : found) {
        all.matches.insert(all.matches.end(), part.matches.begin(), part.matches.end());
        for (const int64_t entry : part.num_rejected) {
            ++all.num_rejected[static_cast<size_t>(entry)];
        }
    }
    return all;
}

// Inside a task `num_rejected` lists the entries themselves. `document` lends its memory.
void NgramIndex::scan_document(std::string_view text, int64_t number, OverlapDocument& document,
                               OverlapMatches& found) const {
    document.number = number;
    document.text = text;
    read_folded_words(text, document.words);
    std::vector<OverlapHit> hits = find_hits(document.words);
    if (hits.empty()) {
        return;
    }
    document.word_numbers.clear();
    for (const FoldedWord& word : document.words) {
        const auto known = word_numbers_.find(word.hash);
        document.word_numbers.push_back(known == word_numbers_.end() ? kUnknownWord : known->second);
    }
    std::erase_if(hits, [&](const OverlapHit& hit) { return !is_sound(document, hit); });
    std::sort(hits.begin(), hits.end(), [](const OverlapHit& a, const OverlapHit& b) {
        return std::tie(a.entry, a.start, a.ngram) < std::tie(b.entry, b.start, b.ngram);
    });
    join_same_starts(hits);
    for (size_t begin = 0; begin < hits.size();) {
        size_t end = begin + 1;
        while (end < hits.size() && hits[end].entry == hits[begin].entry) {
            ++end;
        }
        compare(document, {hits.data() + begin, hits.data() + end}, found);
        begin = end;
    }
}

// Neighbouring n-grams that stand as far apart in both are one hit.
std::vector<OverlapHit> NgramIndex::find_hits(std::span<const FoldedWord> words) const {
    std::vector<OverlapHit> hits;
    std::unordered_map<uint32_t, size_t> latest;  // hit of each entry
    for (const NgramTable* const table : {ngrams_.get(), beginnings_.get()}) {
        const auto n = static_cast<uint32_t>(table->n());
        table->each_known(words, [&](size_t place, std::span<const Posting> postings) {
            const auto at = static_cast<uint32_t>(place);
            for (const Posting& posting : postings) {
                const int64_t start = int64_t{at} - int64_t{posting.position};
                const auto [known, is_new] = latest.try_emplace(posting.entry, hits.size());
                if (!is_new && hits[known->second].start == start) {
                    hits[known->second].last = at;
                    continue;
                }
                known->second = hits.size();
                hits.push_back({posting.entry, start, at, at, n});
            }
        });
    }
    return hits;
}

// Hits are sorted by entry, start and place.
void NgramIndex::join_same_starts(std::vector<OverlapHit>& hits) {
    size_t num_kept = 0;
    for (const OverlapHit& hit : hits) {
        if (num_kept > 0 && hits[num_kept - 1].entry == hit.entry && hits[num_kept - 1].start == hit.start) {
            hits[num_kept - 1].last = std::max(hits[num_kept - 1].last, hit.last);
        } else {
            hits[num_kept++] = hit;
        }
    }
    hits.resize(num_kept);
}

// Whether the first n-gram that led here is the same words, not only the same hash.
bool NgramIndex::is_sound(const OverlapDocument& document, const OverlapHit& hit) const {
    const std::vector<uint32_t>& words = entries_[hit.entry].words;
    const auto in_entry = words.begin() + (int64_t{hit.ngram} - hit.start);
    return std::equal(in_entry, in_entry + hit.length, document.word_numbers.begin() + hit.ngram);
}

void NgramIndex::compare(const OverlapDocument& document, std::span<const OverlapHit> hits,
                         OverlapMatches& found) const {
    const OverlapEntry& entry = entries_[hits.front().entry];
    const auto num_words = static_cast<int64_t>(entry.words.size());
    int64_t next_start = std::numeric_limits<int64_t>::min();
    bool has_match = false;
    for (const OverlapHit& hit : hits) {
        if (hit.start < next_start) {
            continue;  // the stretch that was compared last has all of this one
        }
        const Overlap overlap = overlap_of(document, entry, hit, settings_.ngram);
        const double ratio = ratio_of(entry, overlap);
        const bool is_exact = entry.measure == OverlapMeasure::kNgram || entry.measure == OverlapMeasure::kWhole;
        next_start = hit.start + 1 + (is_exact ? 0 : num_words / 2);
        if (is_match(entry, ratio, settings_.min_ratio)) {
            has_match = true;
            const auto& words = document.words;
            next_start = std::max(next_start, static_cast<int64_t>(overlap.end) - num_words / 2);
            found.matches.push_back({document.number, int64_t{hit.entry}, int64_t{words[overlap.begin].begin},
                                     int64_t{words[overlap.end - 1].end}, int64_t{words[hit.ngram].begin},
                                     int64_t{words[hit.ngram + hit.length - 1].end}, ratio});
        }
    }
    if (!has_match) {
        found.num_rejected.push_back(int64_t{hits.front().entry});
    }
}

}  // namespace textmill::text
