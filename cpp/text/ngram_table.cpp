#include "text/ngram_table.h"

#include <algorithm>
#include <bit>
#include <tuple>

namespace textmill::text {
namespace {

constexpr size_t kFilterBitsPerGram = 16;

}  // namespace

NgramTable::NgramTable(size_t n, std::vector<Gram> grams) : n_(n) {
    std::sort(grams.begin(), grams.end(), [](const Gram& a, const Gram& b) {
        return std::tie(a.hash, a.posting.entry, a.posting.position) <
               std::tie(b.hash, b.posting.entry, b.posting.position);
    });
    const size_t num_blocks = std::bit_ceil(std::max<size_t>(2, grams.size() * kFilterBitsPerGram / 64));
    filter_shift_ = static_cast<unsigned>(64 - std::countr_zero(num_blocks));
    filter_.resize(num_blocks);
    postings_.reserve(grams.size());
    for (const Gram& gram : grams) {
        if (hashes_.empty() || hashes_.back() != gram.hash) {
            hashes_.push_back(gram.hash);
            starts_.push_back(postings_.size());
            filter_[block_of(gram.hash)] |= bits_of(gram.hash);
        }
        postings_.push_back(gram.posting);
    }
    starts_.push_back(postings_.size());
}

std::span<const Posting> NgramTable::find(uint64_t hash) const {
    const auto found = std::lower_bound(hashes_.begin(), hashes_.end(), hash);
    if (found == hashes_.end() || *found != hash) {
        return {};
    }
    const auto number = static_cast<size_t>(found - hashes_.begin());
    return {postings_.data() + starts_[number], postings_.data() + starts_[number + 1]};
}

}  // namespace textmill::text
