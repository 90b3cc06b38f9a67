// Added tokens in any bytes: the longest at each place is that of a plain search, and nothing is read out of bounds.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/added_tokens.h"

using textmill::tokenizer::AddedToken;
using textmill::tokenizer::AddedTokens;
using textmill::tokenizer::LongestMatch;

namespace {

void check(bool is_right, int line) {
    if (!is_right) {
        std::fprintf(stderr, "test_added_tokens.cpp:%d failed\n", line);
        std::exit(1);
    }
}
#define CHECK(condition) check(condition, __LINE__)

// Letters that repeat, whitespace of one and of three bytes, and bytes that are no UTF-8.
std::string random_bytes(std::mt19937& random, size_t num_bytes) {
    constexpr std::string_view kBytes = "aab \xe3\x80\x80\xff\xc2";
    std::string bytes;
    for (size_t i = 0; i < num_bytes; ++i) {
        bytes.push_back(kBytes[random() % kBytes.size()]);
    }
    return bytes;
}

void check_longest(const std::vector<std::string_view>& patterns, std::string_view text, size_t begin, size_t end) {
    std::vector<LongestMatch::Match> matches;
    LongestMatch(patterns).find(text, begin, end, matches);
    size_t num_seen = 0;
    for (size_t at = end; at-- > begin;) {
        size_t longest = 0;
        for (const std::string_view pattern : patterns) {
            longest = text.substr(at).starts_with(pattern) ? std::max(longest, pattern.size()) : longest;
        }
        if (longest > 0) {
            CHECK(num_seen < matches.size() && matches[num_seen].begin == at);
            CHECK(patterns[matches[num_seen].pattern].size() == longest);
            ++num_seen;
        }
    }
    CHECK(num_seen == matches.size());
}

void check_parts(const std::vector<std::string_view>& patterns, std::string_view text, unsigned flags) {
    std::vector<AddedToken> tokens;
    for (size_t i = 0; i < patterns.size(); ++i) {
        const unsigned bits = flags >> i;
        tokens.push_back({static_cast<uint32_t>(i), (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0});
    }
    size_t covered = 0;
    for (const AddedTokens::Part& part : AddedTokens(patterns, tokens).split(text)) {
        CHECK(part.begin <= covered && part.begin <= part.end && part.end <= text.size());
        CHECK(part.id >= AddedTokens::kOrdinary && part.id < static_cast<int64_t>(patterns.size()));
        covered = part.end;
    }
    CHECK(covered == text.size());
}

}  // namespace

int main() {
    std::mt19937 random(1);
    for (int round = 0; round < 3000; ++round) {
        std::set<std::string> distinct;
        for (size_t i = 0; i < 1 + random() % 6; ++i) {
            distinct.insert(random_bytes(random, 1 + random() % 5));
        }
        const std::vector<std::string_view> patterns(distinct.begin(), distinct.end());
        const std::string text = random_bytes(random, random() % 60);
        const size_t end = random() % (text.size() + 1);
        check_longest(patterns, text, random() % (end + 1), end);
        check_parts(patterns, text, static_cast<unsigned>(random()));
    }
    return 0;
}
