#include "text/shingle_sets.h"

#include <algorithm>
#include <bit>

#include "text/shingles.h"
#include "text/text_tasks.h"

namespace textmill::text {
namespace {

// Sorts hashes, which are spread evenly: one pass puts each into a bucket of about four by its upper bits.
class HashSorter {
  public:
    void sort(std::span<uint64_t> hashes) {
        const int num_bits = static_cast<int>(std::bit_width(hashes.size())) - 3;
        if (num_bits < 1) {
            std::sort(hashes.begin(), hashes.end());
            return;
        }
        const int shift = 64 - num_bits;
        ends_.assign((size_t{1} << num_bits) + 1, 0);
        for (const uint64_t hash : hashes) {
            ++ends_[(hash >> shift) + 1];
        }
        for (size_t i = 1; i < ends_.size(); ++i) {
            ends_[i] += ends_[i - 1];
        }
        copy_.assign(hashes.begin(), hashes.end());
        for (const uint64_t hash : copy_) {
            hashes[ends_[hash >> shift]++] = hash;
        }
        size_t begin = 0;
        for (size_t i = 0; i + 1 < ends_.size(); ++i) {
            sort_bucket(hashes.subspan(begin, ends_[i] - begin));
            begin = ends_[i];
        }
    }

  private:
    static void sort_bucket(std::span<uint64_t> hashes) {
        constexpr size_t kMaxInserted = 32;
        if (hashes.size() > kMaxInserted) {
            std::sort(hashes.begin(), hashes.end());
            return;
        }
        for (size_t i = 1; i < hashes.size(); ++i) {
            const uint64_t hash = hashes[i];
            size_t place = i;
            for (; place > 0 && hashes[place - 1] > hash; --place) {
                hashes[place] = hashes[place - 1];
            }
            hashes[place] = hash;
        }
    }

    std::vector<size_t> ends_;
    std::vector<uint64_t> copy_;
};

}  // namespace

ShingleSets shingle_sets(std::span<const std::string_view> texts, size_t ngram, unsigned num_threads) {
    std::vector<std::vector<uint64_t>> sets(texts.size());
    run_text_tasks(texts, num_threads, [&](size_t first, size_t last) {
        Shingler shingler(ngram);
        HashSorter sorter;
        for (size_t i = first; i < last; ++i) {
            const std::span<uint64_t> shingles = shingler.shingles(texts[i]);
            sorter.sort(shingles);
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
