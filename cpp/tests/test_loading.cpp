// What loads batches, for the sanitizers: packing, the order of rows, and rows gathered by threads from checked files.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "text/best_fit.h"
#include "text/block_checksums.h"
#include "text/checked_files.h"
#include "text/feistel.h"
#include "text/token_stream.h"

namespace {

using namespace textmill::text;

constexpr size_t kBlockBytes = 64;

void check(bool condition, const char* what, int line) {
    if (!condition) {
        std::fprintf(stderr, "test_loading.cpp:%d: %s\n", line, what);
        std::_Exit(1);  // other threads may still run, and what they use must stay
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

int64_t below(std::mt19937_64& random, int64_t bound) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(bound));
}

void test_packing(std::mt19937_64& random) {
    const int64_t context = 4 + below(random, 90);
    std::vector<int64_t> lengths(static_cast<size_t>(below(random, 60)));
    std::vector<uint8_t> overheads(lengths.size());
    std::generate(lengths.begin(), lengths.end(), [&] { return below(random, 200); });
    std::generate(overheads.begin(), overheads.end(), [&] { return static_cast<uint8_t>(3 * below(random, 2)); });
    const PackedRows rows = pack_best_fit(lengths, overheads, context);
    std::vector<int64_t> num_packed(lengths.size());
    for (size_t row = 0; row + 1 < rows.row_pieces.size(); ++row) {
        int64_t size = 0;
        for (auto piece = static_cast<size_t>(rows.row_pieces[row]);
             piece < static_cast<size_t>(rows.row_pieces[row + 1]); ++piece) {
            const auto document = static_cast<size_t>(rows.documents[piece]);
            num_packed[document] += rows.lengths[piece];
            size += rows.lengths[piece] + overheads[document];
        }
        CHECK(size > 0 && size <= context);
    }
    CHECK(num_packed == lengths);
}

void test_order(std::mt19937_64& random) {
    std::vector<int64_t> numbers(static_cast<size_t>(1 + below(random, 300)));
    std::iota(numbers.begin(), numbers.end(), 0);
    const std::vector<int64_t> all = numbers;
    permute(numbers, numbers.size(), {random(), random(), random(), random(), random(), random()});
    std::sort(numbers.begin(), numbers.end());
    CHECK(numbers == all);
}

// A row of spans that lie anywhere, across files too, each a segment.
struct Row {
    std::vector<int64_t> row_segments{0};
    std::vector<int64_t> segment_spans{0};
    std::vector<int64_t> firsts, places, lengths;

    Row(std::mt19937_64& random, int64_t num_tokens, int64_t context) {
        for (int64_t space = context; space > 0;) {
            const bool is_id = num_tokens == 0 || below(random, 3) == 0;
            places.push_back(is_id ? -1 - below(random, 9) : below(random, num_tokens));
            const int64_t most = is_id ? 1 : std::min(space, num_tokens - places.back());
            lengths.push_back(is_id ? 1 : below(random, most + 1));
            firsts.push_back(num_tokens == 0 ? -5 : below(random, num_tokens));
            segment_spans.push_back(static_cast<int64_t>(places.size()));
            space -= std::max<int64_t>(lengths.back(), 1);
        }
        row_segments.push_back(static_cast<int64_t>(firsts.size()));
    }

    RowPlan plan() const { return {row_segments, segment_spans, firsts, places, lengths}; }
};

std::vector<uint8_t> random_bytes(std::mt19937_64& random) {
    std::vector<uint8_t> bytes(2 * static_cast<size_t>(below(random, 300)));
    std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<uint8_t>(random()); });
    return bytes;
}

void test_gathering(std::mt19937_64& random) {
    const std::vector<uint8_t> first = random_bytes(random), second = random_bytes(random);
    const auto first_sums = block_checksums(first, kBlockBytes), second_sums = block_checksums(second, kBlockBytes);
    CheckedFiles files({first, second}, {first_sums, second_sums}, kBlockBytes);
    TokenStream stream(files, 2);
    std::vector<int64_t> all(static_cast<size_t>(stream.num_tokens()));
    const auto gather = [&](uint64_t seed) {
        std::mt19937_64 mine(seed);
        for (int i = 0; i < 10; ++i) {
            const int64_t context = 1 + below(mine, 80);
            const Row row(mine, stream.num_tokens(), context);
            TokenRows rows;
            CHECK(!stream.gather(row.plan(), context, 7, i % 2 == 0, rows));
            CHECK(rows.inputs.size() == static_cast<size_t>(context));
        }
    };
    {
        const std::jthread other(gather, random());
        gather(random());
    }
    CHECK(!stream.copy(0, stream.num_tokens(), all.data()));
    for (size_t i = 0; i < all.size(); ++i) {
        const auto& file = 2 * i < first.size() ? first : second;
        const size_t at = 2 * i < first.size() ? 2 * i : 2 * i - first.size();
        CHECK(all[i] == file[at] + 256 * file[at + 1]);
    }
}

}  // namespace

int main() {
    std::mt19937_64 random(1);
    for (int i = 0; i < 300; ++i) {
        test_packing(random);
        test_order(random);
        test_gathering(random);
    }
    std::puts("loading: ok");
    return 0;
}
