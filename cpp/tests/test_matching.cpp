// Matching and hashed n-grams of any bytes: nothing is read or written out of bounds, and what is planted is found.
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "text/hashed_ngrams.h"
#include "text/logistic.h"
#include "text/ngram_index.h"

namespace text = textmill::text;

namespace {

void check(bool is_right, int line) {
    if (!is_right) {
        std::fprintf(stderr, "test_matching.cpp:%d failed\n", line);
        std::exit(1);
    }
}
#define CHECK(condition) check(condition, __LINE__)

std::string random_text(std::mt19937& random, size_t num_parts) {
    const std::vector<std::string> parts = {
        "a",    "B ",       "c\n",  "\xC3\xA9", "e\xCC\x81", "\xE6\xBC\xA2", "\xFF",
        "\xC3", "\xF0\x9F", "\xAD", "...",      "x-y ",      "\xC2\xAD",     std::string(1, '\0')};
    std::string made;
    for (size_t i = 0; i < num_parts; ++i) {
        made += parts[random() % parts.size()];
    }
    return made;
}

void check_scan(std::mt19937& random, text::OverlapMeasure measure, size_t ngram, size_t min_words) {
    std::vector<std::string> items;
    std::vector<std::string> documents;
    for (size_t i = 0; i < 8; ++i) {
        items.push_back(random_text(random, random() % 40));
        documents.push_back(random_text(random, random() % 80) + " " + items[i] + " " +
                            random_text(random, random() % 80));
    }
    documents.emplace_back();
    const std::vector<std::string_view> item_views(items.begin(), items.end());
    const std::vector<std::string_view> views(documents.begin(), documents.end());
    const text::NgramIndex index(item_views, {ngram, min_words, measure, 0.6});
    const std::vector<int64_t> num_words = index.num_words();
    const text::OverlapMatches found = index.scan(views, 2);
    CHECK(found.num_rejected.size() == items.size());
    std::vector<bool> is_found(items.size(), false);
    for (const text::OverlapMatch& match : found.matches) {
        const auto size = static_cast<int64_t>(views[static_cast<size_t>(match.document)].size());
        CHECK(0 <= match.begin && match.begin < match.end && match.end <= size);
        CHECK(0 <= match.ngram_begin && match.ngram_begin < match.ngram_end && match.ngram_end <= size);
        CHECK(match.ratio > 0);
        is_found[static_cast<size_t>(match.entry)] =
            is_found[static_cast<size_t>(match.entry)] || match.document == match.entry;
    }
    for (size_t i = 0; i < items.size(); ++i) {
        // Blocks of up to 5 characters count for nothing, and there are items of as few.
        const bool is_too_short = num_words[i] < static_cast<int64_t>(min_words) ||
                                  (measure == text::OverlapMeasure::kBlocks && num_words[i] < 4);
        CHECK(is_found[i] || is_too_short);
    }
}

void check_features(std::mt19937& random) {
    std::vector<std::string> texts;
    for (size_t i = 0; i < 20; ++i) {
        texts.push_back(random_text(random, random() % 60));
    }
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    const text::BucketRows rows = text::hashed_ngrams(views, 64, 3, 2);
    CHECK(rows.starts.size() == texts.size() + 1);
    CHECK(rows.starts.back() == static_cast<int64_t>(rows.buckets.size()));
    std::vector<uint8_t> labels(texts.size());
    std::vector<int64_t> order(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
        labels[i] = i % 2;
        order[i] = static_cast<int64_t>(i);
    }
    const std::vector<float> row_weights(texts.size(), 1);
    const text::LinearModel model =
        text::fit_logistic(rows.starts, rows.buckets, labels, row_weights, order, 64, {0.1, 1e-6});
    CHECK(text::linear_scores(views, model.weights, model.bias, 3, 1) ==
          text::linear_scores(views, model.weights, model.bias, 3, 3));
}

}  // namespace

int main() {
    std::mt19937 random(1);
    for (int round = 0; round < 200; ++round) {
        for (const auto measure :
             {text::OverlapMeasure::kSubsequence, text::OverlapMeasure::kBlocks, text::OverlapMeasure::kNgram,
              text::OverlapMeasure::kWhole, text::OverlapMeasure::kContainment}) {
            check_scan(random, measure, 1 + random() % 6, 1 + random() % 6);
        }
        check_features(random);
    }
    return 0;
}
