#include "tokenizer/token_grams.h"

#include <algorithm>
#include <bit>

namespace textmill::tokenizer {

TokenGrams::TokenGrams(const TokenTable& tokens, const MergeTable& merges) {
    // About sixteen bits for each token: a good half of them stays empty.
    const size_t num_bits = std::bit_ceil(std::max<size_t>(16 * merges.size(), 1024));
    bits_.assign(num_bits / 64, 0);
    shift_ = 64 - static_cast<unsigned>(std::countr_zero(num_bits));
    for (uint32_t rank = 0; rank < merges.size(); ++rank) {
        const std::string_view token = tokens[merges.product_of(rank)];
        uint32_t window = 0;  // the last four bytes
        for (size_t i = 0; i < token.size(); ++i) {
            window = window << 8 | static_cast<uint8_t>(token[i]);
            if (i == 2) {
                add(kFirst, window);
            }
            if (i >= 3) {
                add(kInside, window);
            }
        }
        if (token.size() == 2) {
            add(kPair, window);
        } else {
            add(kLast, window & 0xFFFFFF);
        }
    }
}

}  // namespace textmill::tokenizer
