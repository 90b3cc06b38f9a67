// What a merge finds on one side of its product: for each neighbouring token how often, and at how many places.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tokenizer/followed_pairs.h"
#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

class Neighbours {
  public:
    struct Sum {
        uint64_t weight = 0;
        uint32_t num_places = 0;
        uint32_t pair = FollowedPairs::kNotFollowed;
    };

    // Makes room for tokens with ids below `num_ids`.
    void resize(size_t num_ids) { sums_.resize(num_ids); }

    void add(TokenId neighbour, uint64_t weight) {
        Sum& sum = sums_[neighbour];
        if (sum.num_places++ == 0) {
            tokens_.push_back(neighbour);
        }
        sum.weight += weight;
    }

    const std::vector<TokenId>& tokens() const { return tokens_; }
    Sum& operator[](TokenId neighbour) { return sums_[neighbour]; }

    void clear() {
        for (const TokenId token : tokens_) {
            sums_[token] = {};
        }
        tokens_.clear();
    }

    size_t memory_bytes() const { return sums_.capacity() * sizeof(Sum) + tokens_.capacity() * sizeof(TokenId); }

  private:
    std::vector<Sum> sums_;
    std::vector<TokenId> tokens_;
};

}  // namespace textmill::tokenizer
