#include "text/shingles.h"

#include <algorithm>

#include "text/folded_words.h"
#include "tokenizer/tiers.h"

namespace textmill::text {
namespace {

constexpr size_t kBlock = 512;  // shingles at a time, which stay in the first cache
constexpr uint64_t kWeight = 0x9E3779B97F4A7C15;

// Each word has a weight by its place, an odd number; the last steps are those of MurmurHash3, a bijection.
TEXTMILL_EACH_TIER void hash_shingles(const uint64_t* words, size_t num_shingles, size_t ngram, uint64_t* shingles) {
    for (size_t begin = 0; begin < num_shingles; begin += kBlock) {
        const size_t count = std::min(kBlock, num_shingles - begin);
        uint64_t* const out = shingles + begin;
        std::fill_n(out, count, ngram);
        uint64_t weight = kWeight;
        for (size_t j = 0; j < ngram; ++j, weight *= kWeight) {
            const uint64_t* const in = words + begin + j;
            for (size_t i = 0; i < count; ++i) {
                out[i] += in[i] * weight;
            }
        }
        for (size_t i = 0; i < count; ++i) {
            uint64_t h = out[i];
            h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCD;
            h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53;
            out[i] = h ^ (h >> 33);
        }
    }
}

}  // namespace

std::span<const uint64_t> Shingler::words(std::string_view text) {
    // A word has a separator behind it, or two bytes and more.
    words_.resize(std::max(words_.size(), text.size() / 2 + 1));
    uint64_t* end = words_.data();
    each_folded_word(text, [&end](const FoldedWord& word) { *end++ = word.hash; });
    return {words_.data(), end};
}

std::span<uint64_t> Shingler::shingles(std::string_view text) {
    const std::span<const uint64_t> words = this->words(text);
    if (words.empty()) {
        return {};
    }
    const size_t ngram = std::min(ngram_, words.size());
    const size_t num_shingles = words.size() - ngram + 1;
    shingles_.resize(std::max(shingles_.size(), num_shingles));
    hash_shingles(words.data(), num_shingles, ngram, shingles_.data());
    return {shingles_.data(), num_shingles};
}

}  // namespace textmill::text
