// Byte-level BPE as a few loops, slow and easy to believe.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/scanner.h"
#include "tokenizer/vocab.h"

namespace textmill::fuzz {

struct Learned {
    std::vector<std::string> tokens;  // the bytes first, in the order of a tokenizer.json
    std::vector<tokenizer::Merge> merges;
    std::map<std::pair<tokenizer::TokenId, tokenizer::TokenId>, size_t> ranks;
};

// The pieces of a text; they must tile it.
std::vector<std::string_view> split(const tokenizer::Splitter& splitter, std::string_view text);

// Merges the pair that stands most often, of equals the one with the smallest ids, again and again.
Learned learn_plainly(const tokenizer::Splitter& splitter, std::string_view text, size_t num_merges);

// Merges the pair of lowest rank until none is left.
std::vector<tokenizer::TokenId> merge_plainly(const Learned& learned, std::string_view piece);

}  // namespace textmill::fuzz
