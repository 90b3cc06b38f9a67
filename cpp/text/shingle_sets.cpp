#include "text/shingle_sets.h"

#include <algorithm>

#include "text/shingles.h"
#include "text/text_tasks.h"

namespace textmill::text {

ShingleSets shingle_sets(std::span<const std::string_view> texts, size_t ngram, unsigned num_threads) {
    std::vector<std::vector<uint64_t>> sets(texts.size());
    run_text_tasks(texts, num_threads, [&](size_t first, size_t last) {
        Shingler shingler(ngram);
        for (size_t i = first; i < last; ++i) {
            const std::span<uint64_t> shingles = shingler.shingles(texts[i]);
            std::sort(shingles.begin(), shingles.end());
            sets[i].assign(shingles.begin(), std::unique(shingles.begin(), shingles.end()));
        }
    });
    ShingleSets joined{{}, {0}};
    for (const auto& set : sets) {
        joined.offsets.push_back(joined.offsets.back() + static_cast<int64_t>(set.size()));
    }
    joined.shingles.reserve(static_cast<size_t>(joined.offsets.back()));
    for (auto& set : sets) {
        joined.shingles.insert(joined.shingles.end(), set.begin(), set.end());
        std::vector<uint64_t>().swap(set);
    }
    return joined;
}

double jaccard(std::span<const uint64_t> a, std::span<const uint64_t> b) {
    size_t i = 0;
    size_t j = 0;
    size_t num_common = 0;
    while (i < a.size() && j < b.size()) {
        const uint64_t x = a[i];
        const uint64_t y = b[j];
        num_common += x == y;
        i += x <= y;
        j += y <= x;
    }
    const size_t num_all = a.size() + b.size() - num_common;
    return num_all == 0 ? 0 : static_cast<double>(num_common) / static_cast<double>(num_all);
}

}  // namespace textmill::text
