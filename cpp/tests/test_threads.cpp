// What threads share, for ThreadSanitizer: encoders, the trainer's counts and merges, and a fork in the middle.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tokenizer/character_encode.h"
#include "tokenizer/encode.h"
#include "tokenizer/train.h"

namespace {

using namespace textmill::tokenizer;

constexpr unsigned kNumThreads = 4;
#ifdef __SANITIZE_THREAD__
constexpr unsigned kChildThreads = 1;  // ThreadSanitizer does not follow threads that a forked child starts
#else
constexpr unsigned kChildThreads = 2;
#endif

void check(bool condition, const char* what, int line) {
    if (!condition) {
        std::fprintf(stderr, "test_threads.cpp:%d: %s\n", line, what);
        std::_Exit(1);  // other threads may still run, and what they use must stay
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

void run_on_threads(const std::function<void(unsigned)>& work) {
    std::vector<std::jthread> threads;
    for (unsigned thread = 0; thread < kNumThreads; ++thread) {
        threads.emplace_back(work, thread);
    }
}

// Long enough to be cut into several tasks, with words that come again and words that do not.
std::vector<std::string> make_texts() {
    std::vector<std::string> texts = {"", "short", "\xFF\xFE", std::string(100'000, 'a')};
    std::string text;
    for (int i = 0; i < 30'000; ++i) {
        text += "the word number " + std::to_string(i % 7'000) + " is na\xC3\xAFve,\n";
    }
    texts.push_back(text.substr(0, 200'000));
    texts.push_back(std::move(text));
    return texts;
}

const std::vector<std::string> kTexts = make_texts();
const std::vector<std::string_view> kViews(kTexts.begin(), kTexts.end());

std::shared_ptr<const Splitter> gpt2() {
    static const auto splitter = std::make_shared<const Splitter>(
        std::vector<std::string>{R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"});
    return splitter;
}

std::vector<std::string> byte_tokens() {
    std::vector<std::string> tokens;
    for (const uint8_t byte : bytes_in_alphabet_order()) {
        tokens.emplace_back(1, static_cast<char>(byte));
    }
    return tokens;
}

LearnedMerges learn(unsigned num_threads) {
    Trainer trainer(gpt2(), {.num_threads = num_threads});
    trainer.add(kViews);
    trainer.add(kViews);
    return trainer.learn({.num_tokens = 200, .tokens = byte_tokens()}, [] {});
}

std::unique_ptr<const Encoder> make_encoder() {
    std::vector<std::string> tokens = byte_tokens();
    const std::vector<Merge> merges = learn(1).merges;
    for (const Merge& merge : merges) {
        tokens.push_back(tokens[merge.left] + tokens[merge.right]);
    }
    return std::make_unique<const Encoder>(gpt2(), Vocab(tokens, merges, {}, false));
}

std::unique_ptr<const CharacterEncoder> make_character_encoder() {
    std::vector<std::string> pieces = {"<unk>"};
    std::vector<PieceKind> kinds = {PieceKind::kUnknown};
    for (const char* const piece : {"t", "h", "e", "th", "the", "\xE2\x96\x81", "\xE2\x96\x81the", "w", "o", "r"}) {
        pieces.emplace_back(piece);
        kinds.push_back(PieceKind::kNormal);
    }
    const std::vector<float> scores(pieces.size(), 1.0F);
    return std::make_unique<const CharacterEncoder>(
        std::make_shared<const CharacterVocab>(pieces, kinds, scores, std::vector<Merge>{}, false), NormalizerRules{},
        std::string_view{}, MergerRules{});
}

std::vector<TokenId> ids_of(const EncodedBatch& batch) {
    return {batch.ids.data(), batch.ids.data() + batch.ids.size()};
}

std::vector<TokenId> encode(const Encoder& encoder, std::string_view text) {
    TokenBuffer ids;
    encoder.encode(text, ids);
    return {ids.data(), ids.data() + ids.size()};
}

std::vector<TokenId> encode(const CharacterEncoder& encoder, std::string_view text) {
    return encoder.encode(text);
}

template <typename AnyEncoder>
void test_one_encoder_for_all_threads(const AnyEncoder& encoder) {
    const EncodedBatch expected = encoder.encode_batch(kViews, 1);
    const std::vector<TokenId> ids = encode(encoder, kTexts[4]);
    run_on_threads([&](unsigned thread) {
        const EncodedBatch batch = encoder.encode_batch(kViews, 1 + thread % 3);
        CHECK(ids_of(batch) == ids_of(expected) && batch.offsets == expected.offsets);
        CHECK(encode(encoder, kTexts[4]) == ids);
    });
}

void test_counting_on_threads(const Encoder& encoder) {
    const size_t num_tokens = encode(encoder, kTexts[5]).size();
    run_on_threads([&](unsigned) { CHECK(encoder.count(kTexts[5]) == num_tokens); });
}

void test_training_on_threads() {
    const LearnedMerges one = learn(1);
    run_on_threads([&](unsigned thread) {
        const LearnedMerges many = learn(1 + thread);
        CHECK(many.counts == one.counts && many.merges.size() == one.merges.size());
        for (size_t rank = 0; rank < one.merges.size(); ++rank) {
            CHECK(many.merges[rank].left == one.merges[rank].left && many.merges[rank].right == one.merges[rank].right);
        }
    });
}

// The child has one thread, and whatever the others held when it was made stays held.
void test_forks_while_others_encode(const Encoder& encoder) {
    const std::vector<TokenId> expected = ids_of(encoder.encode_batch(kViews, 1));
    std::atomic<bool> is_over = false;
    std::jthread busy([&] {
        while (!is_over) {
            CHECK(ids_of(encoder.encode_batch(kViews, 2)) == expected);
        }
    });
    for (int round = 0; round < 5; ++round) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(120);  // a deadlock ends too, and as a failure
            _exit(ids_of(encoder.encode_batch(kViews, kChildThreads)) == expected ? 0 : 1);
        }
        int status = -1;
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    is_over = true;
}

}  // namespace

int main() {
    const auto encoder = make_encoder();
    test_one_encoder_for_all_threads(*encoder);
    test_counting_on_threads(*encoder);
    test_one_encoder_for_all_threads(*make_character_encoder());
    test_training_on_threads();
    test_forks_while_others_encode(*encoder);
    std::puts("threads: all tests passed");
    return 0;
}
