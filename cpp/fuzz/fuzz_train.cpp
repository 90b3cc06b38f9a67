// Training against the plain loops: the same merges and counts, for any number of threads and texts.
#include <stdexcept>

#include "fuzz/fuzz_input.h"
#include "fuzz/named_patterns.h"
#include "fuzz/plain_bpe.h"
#include "tokenizer/train.h"

namespace {

using namespace textmill::tokenizer;
using textmill::fuzz::FuzzInput;
using textmill::fuzz::Learned;

constexpr size_t kMaxTextBytes = 600;  // the plain loops are quadratic

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    textmill::fuzz::write_seeds(*argc, *argv, textmill::fuzz::named_patterns().size(), 3);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    FuzzInput input(data, size);
    const auto splitter = textmill::fuzz::take_pattern(input);
    const size_t num_merges = input.take_below(100);
    const unsigned num_threads = 1 + static_cast<unsigned>(input.take_below(2));
    const std::string_view text = input.take(kMaxTextBytes);

    const Learned expected = textmill::fuzz::learn_plainly(*splitter, text, num_merges);
    Trainer trainer(splitter, {.num_threads = num_threads});
    const std::vector<std::string_view> texts = {text, ""};
    trainer.add(texts);
    const std::vector<std::string> bytes(expected.tokens.begin(), expected.tokens.begin() + 256);
    const LearnedMerges learned = trainer.learn({.num_tokens = num_merges, .tokens = bytes}, [] {});
    FUZZ_CHECK(trainer.num_bytes() == text.size());
    FUZZ_CHECK(learned.merges.size() == expected.merges.size() && learned.counts.size() == learned.merges.size());
    for (size_t rank = 0; rank < learned.merges.size(); ++rank) {
        FUZZ_CHECK(learned.merges[rank].left == expected.merges[rank].left);
        FUZZ_CHECK(learned.merges[rank].right == expected.merges[rank].right);
        FUZZ_CHECK(learned.merges[rank].product == expected.merges[rank].product);
    }
    return 0;
}
