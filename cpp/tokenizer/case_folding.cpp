#include "tokenizer/case_folding.h"

#include <algorithm>
#include <iterator>

namespace textmill::tokenizer {
namespace {

struct CasePair {
    uint32_t code_point;
    uint32_t next;
};

#include "tokenizer/case_tables.inc"

uint32_t next_equal(uint32_t code_point) {
    const auto* const found =
        std::lower_bound(std::begin(kCasePairs), std::end(kCasePairs), code_point,
                         [](const CasePair& pair, uint32_t code) { return pair.code_point < code; });
    return found->next;
}

}  // namespace

std::vector<CodePointRange> folded(std::vector<CodePointRange> ranges) {
    ranges = united(std::move(ranges));
    std::vector<CodePointRange> result = ranges;
    auto range = ranges.begin();
    for (const CasePair& pair : kCasePairs) {
        range = std::find_if(range, ranges.end(), [&](const auto& each) { return each.last >= pair.code_point; });
        if (range == ranges.end()) {
            break;
        }
        if (range->first > pair.code_point) {
            continue;
        }
        for (uint32_t code = pair.next; code != pair.code_point; code = next_equal(code)) {
            result.push_back({code, code});
        }
    }
    return united(std::move(result));
}

std::vector<std::pair<uint32_t, uint32_t>> case_pairs() {
    std::vector<std::pair<uint32_t, uint32_t>> pairs;
    for (const CasePair& pair : kCasePairs) {
        pairs.emplace_back(pair.code_point, pair.next);
    }
    return pairs;
}

}  // namespace textmill::tokenizer
