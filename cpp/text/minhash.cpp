#include "text/minhash.h"

#include <algorithm>
#include <cstring>

#include "text/shingles.h"
#include "text/text_tasks.h"
#include "tokenizer/parallel.h"
#include "tokenizer/tiers.h"

namespace textmill::text {
namespace {

constexpr size_t kLanes = 16;
constexpr size_t kMaxVectors = 8;  // that are worked on at once: their minima stay in registers
using Lanes __attribute__((vector_size(kLanes * sizeof(uint32_t)))) = uint32_t;

uint64_t split_mix(uint64_t& state) {
    state += 0x9E3779B97F4A7C15;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

// Permutations of the 32-bit numbers, x to multiplier * x + increment; as many as fill whole vectors.
struct Permutations {
    Permutations(size_t count, uint64_t seed)
        : multipliers((count + kLanes - 1) / kLanes * kLanes), increments(multipliers.size()) {
        for (size_t i = 0; i < multipliers.size(); ++i) {
            const uint64_t random = split_mix(seed);
            multipliers[i] = static_cast<uint32_t>(random) | 1;
            increments[i] = static_cast<uint32_t>(random >> 32);
        }
    }
    std::vector<uint32_t> multipliers;
    std::vector<uint32_t> increments;
};

template <size_t kVectors>
[[gnu::always_inline]] inline void least_of(std::span<const uint64_t> shingles, const uint32_t* multipliers,
                                            const uint32_t* increments, uint32_t* minima) {
    Lanes factors[kVectors];
    Lanes terms[kVectors];
    Lanes least[kVectors];
    std::memcpy(factors, multipliers, sizeof(factors));
    std::memcpy(terms, increments, sizeof(terms));
    std::memset(least, 0xFF, sizeof(least));
    for (const uint64_t shingle : shingles) {
        const auto number = static_cast<uint32_t>(shingle >> 32);
#pragma GCC unroll 8
        for (size_t v = 0; v < kVectors; ++v) {
            const Lanes permuted = factors[v] * number + terms[v];
            least[v] = permuted < least[v] ? permuted : least[v];
        }
    }
    std::memcpy(minima, least, sizeof(least));
}

TEXTMILL_EACH_TIER void find_minima(std::span<const uint64_t> shingles, size_t num_vectors, const uint32_t* multipliers,
                                    const uint32_t* increments, uint32_t* minima) {
    switch (num_vectors) {
        case 1:
            return least_of<1>(shingles, multipliers, increments, minima);
        case 2:
            return least_of<2>(shingles, multipliers, increments, minima);
        case 3:
            return least_of<3>(shingles, multipliers, increments, minima);
        case 4:
            return least_of<4>(shingles, multipliers, increments, minima);
        case 5:
            return least_of<5>(shingles, multipliers, increments, minima);
        case 6:
            return least_of<6>(shingles, multipliers, increments, minima);
        case 7:
            return least_of<7>(shingles, multipliers, increments, minima);
        default:
            return least_of<kMaxVectors>(shingles, multipliers, increments, minima);
    }
}

// The key of a band: its minima, and which band it is, since keys of different bands are never compared but may be
// mixed.
uint64_t band_key(const uint32_t* minima, size_t rows, uint64_t band) {
    uint64_t key = band + 1;
    for (size_t row = 0; row < rows; ++row) {
        key = (key ^ minima[row]) * 0x9E3779B97F4A7C15;
        key ^= key >> 32;
    }
    return key == 0 ? 1 : key;
}

// Makes the keys of texts; holds the memory that it works in.
class Signer {
  public:
    Signer(const Permutations& permutations, const MinHashShape& shape)
        : permutations_(permutations), shape_(shape), minima_(permutations.multipliers.size()) {}

    // Writes a key for each band; none where there is no shingle.
    void write_keys(std::span<const uint64_t> shingles, uint64_t* keys) {
        if (shingles.empty()) {
            return;
        }
        const size_t num_vectors = minima_.size() / kLanes;
        for (size_t v = 0; v < num_vectors; v += kMaxVectors) {
            find_minima(shingles, std::min(kMaxVectors, num_vectors - v), &permutations_.multipliers[v * kLanes],
                        &permutations_.increments[v * kLanes], &minima_[v * kLanes]);
        }
        for (size_t band = 0; band < shape_.bands; ++band) {
            keys[band] = band_key(minima_.data() + band * shape_.rows, shape_.rows, band);
        }
    }

  private:
    const Permutations& permutations_;
    const MinHashShape& shape_;
    std::vector<uint32_t> minima_;
};

}  // namespace

std::vector<uint64_t> minhash_bands(std::span<const std::string_view> texts, const MinHashShape& shape,
                                    unsigned num_threads) {
    const Permutations permutations(shape.bands * shape.rows, shape.seed);
    std::vector<uint64_t> keys(texts.size() * shape.bands);
    run_text_tasks(texts, num_threads, [&](size_t first, size_t last) {
        Shingler shingler(shape.ngram);
        Signer signer(permutations, shape);
        for (size_t i = first; i < last; ++i) {
            signer.write_keys(shingler.shingles(texts[i]), &keys[i * shape.bands]);
        }
    });
    return keys;
}

std::vector<uint64_t> minhash_bands_of_sets(std::span<const std::span<const uint64_t>> sets, const MinHashShape& shape,
                                            unsigned num_threads) {
    constexpr size_t kTaskSets = 256;
    const Permutations permutations(shape.bands * shape.rows, shape.seed);
    std::vector<uint64_t> keys(sets.size() * shape.bands);
    const size_t num_tasks = (sets.size() + kTaskSets - 1) / kTaskSets;
    tokenizer::run_tasks(num_tasks, tokenizer::threads_for(num_threads, num_tasks), [&](size_t task, unsigned) {
        Signer signer(permutations, shape);
        for (size_t i = task * kTaskSets; i < std::min(sets.size(), (task + 1) * kTaskSets); ++i) {
            signer.write_keys(sets[i], &keys[i * shape.bands]);
        }
    });
    return keys;
}

}  // namespace textmill::text
