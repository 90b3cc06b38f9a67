// Training: counting on disk and in memory, threads and limits give one result; what cannot be done is refused.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/train.h"

namespace {

using namespace textmill::tokenizer;

#define CHECK(condition)                                                         \
    do {                                                                         \
        if (!(condition)) {                                                      \
            std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                        \
        }                                                                        \
    } while (false)

const auto kWords = std::make_shared<const Splitter>(std::vector<std::string>{"[a-z]+|[^a-z]+"});

std::string random_text(size_t num_words, unsigned seed) {
    std::mt19937 random(seed);
    std::string text;
    for (size_t i = 0; i < num_words; ++i) {
        const size_t length = 1 + random() % (i % 50 == 0 ? 60 : 7);
        for (size_t j = 0; j < length; ++j) {
            text += static_cast<char>('a' + random() % 5);
        }
        text += ' ';
    }
    return text;
}

std::vector<std::string> byte_tokens() {
    std::vector<std::string> tokens;
    for (const uint8_t byte : bytes_in_alphabet_order()) {
        tokens.emplace_back(1, static_cast<char>(byte));
    }
    return tokens;
}

struct Result {
    LearnedMerges learned;
    size_t num_words;
    size_t num_runs;
};

Result train(std::string_view text, TrainerOptions options, size_t num_tokens) {
    options.spill_folder = "/tmp";
    Trainer trainer(kWords, options);
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find(' ', std::min(begin + 50'000, text.size() - 1)) + 1, text.size());
        const std::string_view part = text.substr(begin, end - begin);
        trainer.add({&part, 1});
        begin = end;
    }
    Result result{trainer.learn({.num_tokens = num_tokens, .tokens = byte_tokens()}, [] {}), 0, 0};
    result.num_words = trainer.num_words();
    result.num_runs = trainer.num_spilled_runs();
    return result;
}

bool are_equal(const Result& a, const Result& b) {
    bool equal = a.learned.merges.size() == b.learned.merges.size() && a.num_words == b.num_words;
    for (size_t i = 0; equal && i < a.learned.merges.size(); ++i) {
        equal = a.learned.merges[i].left == b.learned.merges[i].left &&
                a.learned.merges[i].right == b.learned.merges[i].right;
    }
    return equal && a.learned.counts == b.learned.counts && a.learned.token_counts == b.learned.token_counts &&
           a.learned.num_ties == b.learned.num_ties;
}

void test_limits_and_threads_change_nothing() {
    const std::string text = random_text(120'000, 1);
    const Result expected = train(text, {.num_threads = 1}, 400);
    CHECK(expected.num_runs == 0);
    CHECK(are_equal(expected, train(text, {.num_threads = 3}, 400)));
    const Result spilled = train(text, {.num_threads = 1, .memory_limit_bytes = 2'200'000}, 400);
    CHECK(spilled.num_runs > 0);
    CHECK(are_equal(expected, spilled));
    CHECK(are_equal(expected, train(text, {.num_threads = 3, .memory_limit_bytes = 4'000'000}, 400)));
}

void test_many_runs_are_merged_in_levels() {
    WordSpill spill("/tmp");
    WordCounts expected;
    for (unsigned i = 0; i < 100; ++i) {
        const std::string word = std::to_string(i % 7) + std::string(i % 30, 'x');
        WordCounts counts;
        counts.add({word, i + uint64_t{1}});
        counts.add({"everywhere", uint64_t{1} << 40});
        expected.merge(counts);
        spill.add(counts);
        CHECK(counts.size() == 0);
    }
    WordRun merged = spill.merged();
    WordCounts found;
    std::string last;
    while (merged.next()) {
        CHECK(merged.word().bytes > last);
        last = merged.word().bytes;
        found.add(merged.word());
    }
    CHECK(found.size() == expected.size() && merged.num_words() == expected.size());
    size_t num_equal = 0;
    expected.for_each([&](const WordCount& word) {
        found.for_each(
            [&](const WordCount& other) { num_equal += word.bytes == other.bytes && word.count == other.count; });
    });
    CHECK(num_equal == expected.size());
}

void test_words_of_all_lengths_are_told_apart() {
    const std::string text(4096, 'a');
    WordCounts counts;
    uint64_t total = 0;
    for (size_t length = 1; length <= 300; ++length) {
        const std::vector<Piece> pieces(length % 3 + 1, Piece{text.size() - length, text.size(), 0});
        counts.add(text, pieces);
        counts.add({std::string_view(text).substr(0, length), 1});
        total += pieces.size() + 1;
    }
    CHECK(counts.size() == 300);
    counts.for_each([&](const WordCount& word) {
        CHECK(word.count == word.bytes.size() % 3 + 2);
        total -= word.count;
    });
    CHECK(total == 0);
}

void test_a_missing_folder_is_an_error() {
    bool is_refused = false;
    try {
        WordRun run("/no such folder");
    } catch (const SpillError&) {
        is_refused = true;
    }
    CHECK(is_refused);
}

}  // namespace

int main() {
    test_words_of_all_lengths_are_told_apart();
    test_many_runs_are_merged_in_levels();
    test_limits_and_threads_change_nothing();
    test_a_missing_folder_is_an_error();
    std::puts("training: all tests passed");
    return 0;
}
