#include <nanobind/stl/string.h>

#include <algorithm>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/text_views.h"
#include "text/linked_groups.h"
#include "text/minhash.h"
#include "text/shingle_sets.h"
#include "text/text_hash.h"
#include "text/text_tasks.h"
#include "tokenizer/parallel.h"

namespace nb = nanobind;
namespace text = textmill::text;
using namespace nb::literals;
using textmill::bindings::Array1;
using textmill::bindings::Array2;
using textmill::bindings::text_views;
using textmill::bindings::to_array;
using textmill::bindings::to_table;
using textmill::bindings::View1;
using textmill::bindings::View2;

namespace {

constexpr size_t kMaxPermutations = 1 << 16;
constexpr size_t kMaxNgram = 1 << 10;

void check_ngram(size_t ngram) {
    if (ngram < 1 || ngram > kMaxNgram) {
        throw std::invalid_argument("ngram is " + std::to_string(ngram) + ", and must be 1 to 1024");
    }
}

Array2<uint64_t> text_hashes(const View1<uint8_t>& data, const View1<int64_t>& offsets, unsigned num_threads) {
    std::vector<uint64_t> hashes;
    {
        const nb::gil_scoped_release release;
        const auto texts = text_views(data, offsets);
        hashes.resize(2 * texts.size());
        text::run_text_tasks(texts, num_threads, [&](size_t first, size_t last) {
            for (size_t i = first; i < last; ++i) {
                const text::TextHash hash = text::hash_text(texts[i]);
                hashes[2 * i] = hash[0];
                hashes[2 * i + 1] = hash[1];
            }
        });
    }
    return to_table(std::move(hashes), 2);
}

void check_bands(size_t bands, size_t rows) {
    if (bands < 1 || rows < 1 || bands > kMaxPermutations || rows > kMaxPermutations / bands) {
        throw std::invalid_argument(std::to_string(bands) + " bands of " + std::to_string(rows) +
                                    " rows: both must be 1 or more, and their product 65536 or less");
    }
}

// Set i is shingles[offsets[i]] to shingles[offsets[i + 1]].
std::vector<std::span<const uint64_t>> set_views(const View1<uint64_t>& shingles, const View1<int64_t>& offsets) {
    std::vector<std::span<const uint64_t>> sets;
    for (size_t i = 0; i + 1 < offsets.size(); ++i) {
        const int64_t begin = offsets.data()[i];
        const int64_t end = offsets.data()[i + 1];
        if (begin < 0 || begin > end || end > static_cast<int64_t>(shingles.size())) {
            throw std::invalid_argument("offsets must rise from 0 to the number of shingles");
        }
        sets.emplace_back(shingles.data() + begin, static_cast<size_t>(end - begin));
    }
    return sets;
}

Array2<uint64_t> minhash_bands(const View1<uint8_t>& data, const View1<int64_t>& offsets, size_t bands, size_t rows,
                               size_t ngram, uint64_t seed, unsigned num_threads) {
    check_bands(bands, rows);
    check_ngram(ngram);
    std::vector<uint64_t> keys;
    {
        const nb::gil_scoped_release release;
        keys = text::minhash_bands(text_views(data, offsets), {bands, rows, ngram, seed}, num_threads);
    }
    return to_table(std::move(keys), bands);
}

Array2<uint64_t> minhash_bands_of_sets(const View1<uint64_t>& shingles, const View1<int64_t>& offsets, size_t bands,
                                       size_t rows, uint64_t seed, unsigned num_threads) {
    check_bands(bands, rows);
    std::vector<uint64_t> keys;
    {
        const nb::gil_scoped_release release;
        keys = text::minhash_bands_of_sets(set_views(shingles, offsets), {bands, rows, 1, seed}, num_threads);
    }
    return to_table(std::move(keys), bands);
}

nb::tuple shingle_sets(const View1<uint8_t>& data, const View1<int64_t>& offsets, size_t ngram, unsigned num_threads) {
    check_ngram(ngram);
    text::ShingleSets sets;
    {
        const nb::gil_scoped_release release;
        sets = text::shingle_sets(text_views(data, offsets), ngram, num_threads);
    }
    return nb::make_tuple(to_array(std::move(sets.shingles)), to_array(std::move(sets.offsets)));
}

Array1<double> pair_jaccards(const View1<uint64_t>& shingles, const View1<int64_t>& offsets,
                             const View2<int64_t>& pairs, unsigned num_threads) {
    constexpr size_t kTaskPairs = 256;
    if (pairs.shape(1) != 2) {
        throw std::invalid_argument("pairs must be int64[n, 2]");
    }
    const size_t num_pairs = pairs.shape(0);
    std::vector<double> indices(num_pairs);
    {
        const nb::gil_scoped_release release;
        const auto sets = set_views(shingles, offsets);
        const auto set_of = [&](int64_t number) {
            if (number < 0 || static_cast<size_t>(number) >= sets.size()) {
                throw std::invalid_argument("a pair names set " + std::to_string(number) + " of " +
                                            std::to_string(sets.size()));
            }
            return sets[static_cast<size_t>(number)];
        };
        const size_t num_tasks = (num_pairs + kTaskPairs - 1) / kTaskPairs;
        textmill::tokenizer::run_tasks(
            num_tasks, textmill::tokenizer::threads_for(num_threads, num_tasks), [&](size_t task, unsigned) {
                for (size_t i = task * kTaskPairs; i < std::min(num_pairs, (task + 1) * kTaskPairs); ++i) {
                    indices[i] = text::jaccard(set_of(pairs.data()[2 * i]), set_of(pairs.data()[2 * i + 1]));
                }
            });
    }
    return to_array(std::move(indices));
}

Array1<int64_t> linked_groups(const View2<int64_t>& links, int64_t num_nodes) {
    if (links.shape(1) != 2 || num_nodes < 0) {
        throw std::invalid_argument("links must be int64[n, 2], and num_nodes 0 or more");
    }
    std::vector<int64_t> groups;
    {
        const nb::gil_scoped_release release;
        for (size_t i = 0; i < 2 * links.shape(0); ++i) {
            if (links.data()[i] < 0 || links.data()[i] >= num_nodes) {
                throw std::invalid_argument("a link names node " + std::to_string(links.data()[i]) + " of " +
                                            std::to_string(num_nodes));
            }
        }
        groups = text::linked_groups({links.data(), 2 * links.shape(0)}, static_cast<size_t>(num_nodes));
    }
    return to_array(std::move(groups));
}

}  // namespace

void bind_minhash(nb::module_& m) {
    m.def("text_hashes", &text_hashes, "data"_a, "offsets"_a, "num_threads"_a = 1,
          "128 bits of each text, uint64[n, 2]: equal texts have equal ones, and others do not in practice.");
    m.def("minhash_bands", &minhash_bands, "data"_a, "offsets"_a, "bands"_a, "rows"_a, "ngram"_a, "seed"_a,
          "num_threads"_a = 1,
          "MinHash keys of texts, uint64[n, bands], over shingles of ngram words; a text without words has zeros.");
    m.def(
        "shingle_sets", &shingle_sets, "data"_a, "offsets"_a, "ngram"_a, "num_threads"_a = 1,
        nb::sig("def shingle_sets(data: numpy.typing.NDArray[numpy.uint8], offsets: numpy.typing.NDArray[numpy.int64], "
                "ngram: int, num_threads: int = 1) -> tuple[numpy.typing.NDArray[numpy.uint64], "
                "numpy.typing.NDArray[numpy.int64]]"),
        "The set of shingles of each text, ascending: hashes, and int64[n + 1] of where each set begins.");
    m.def("minhash_bands_of_sets", &minhash_bands_of_sets, "shingles"_a, "offsets"_a, "bands"_a, "rows"_a, "seed"_a,
          "num_threads"_a = 1, "MinHash keys of sets of shingles, as shingle_sets gives them: uint64[n, bands].");
    m.def("pair_jaccards", &pair_jaccards, "shingles"_a, "offsets"_a, "pairs"_a, "num_threads"_a = 1,
          "The Jaccard index of each pair of sets, float64[p], sets as shingle_sets gives them.");
    m.def("linked_groups", &linked_groups, "links"_a, "num_nodes"_a,
          "For each node the least one that links lead to, int64[num_nodes].");
}
