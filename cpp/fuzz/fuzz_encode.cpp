// Any text under a named pattern, with a vocabulary trained on a part of it: what is encoded comes back, and every way
// to encode gives the ids of a plain merge.
#include <memory>

#include "fuzz/fuzz_input.h"
#include "fuzz/named_patterns.h"
#include "fuzz/plain_bpe.h"
#include "tokenizer/encode.h"
#include "tokenizer/parallel.h"

namespace {

using namespace textmill::tokenizer;
using textmill::fuzz::FuzzInput;
using textmill::fuzz::Learned;
using textmill::fuzz::split;

constexpr size_t kMaxTextBytes = size_t{1} << 12;
constexpr size_t kMaxPlainBytes = 256;  // the plain merge is quadratic

std::vector<TokenId> encode(const Encoder& encoder, std::string_view text) {
    TokenBuffer ids;
    encoder.encode(text, ids);
    return {ids.data(), ids.data() + ids.size()};
}

void check_tasks_split_alike(const Splitter& splitter, std::string_view text, size_t task_bytes) {
    std::vector<std::string_view> pieces;
    for (const Task& task : cut_into_tasks(splitter, {&text, 1}, task_bytes)) {
        for (const TextPart& part : task) {
            const std::vector<std::string_view> of_part = split(splitter, part.bytes);
            pieces.insert(pieces.end(), of_part.begin(), of_part.end());
        }
    }
    FUZZ_CHECK(pieces == split(splitter, text));
}

std::vector<TokenId> encode_by_pieces(const Encoder& encoder, const Learned& learned, std::string_view text) {
    std::vector<TokenId> ids;
    for (const std::string_view piece : split(encoder.splitter(), text)) {
        const std::vector<TokenId> traced = encoder.trace(piece).second;
        FUZZ_CHECK(piece.size() > kMaxPlainBytes || traced == textmill::fuzz::merge_plainly(learned, piece));
        ids.insert(ids.end(), traced.begin(), traced.end());
    }
    return ids;
}

void check_batch(const Encoder& encoder, std::string_view text, unsigned num_threads) {
    const std::vector<std::string_view> texts = {text, "", text.substr(text.size() / 2), text};
    const EncodedBatch batch = encoder.encode_batch(texts, num_threads);
    FUZZ_CHECK(batch.offsets.size() == texts.size() + 1 && batch.offsets[0] == 0);
    FUZZ_CHECK(batch.offsets.back() == static_cast<int64_t>(batch.ids.size()));
    for (size_t i = 0; i < texts.size(); ++i) {
        const std::vector<TokenId> ids(batch.ids.data() + batch.offsets[i], batch.ids.data() + batch.offsets[i + 1]);
        FUZZ_CHECK(ids == encode(encoder, texts[i]));
    }
}

void check_head(const Encoder& encoder, std::string_view text, const std::vector<TokenId>& ids, size_t max_tokens) {
    const auto [num_bytes, num_tokens] = encoder.head(text, max_tokens);
    FUZZ_CHECK(num_tokens == std::min(max_tokens, ids.size()));
    size_t expected_bytes = 0;
    for (size_t i = 0; i < num_tokens; ++i) {
        expected_bytes += encoder.vocab().bytes_of(ids[i]).size();
    }
    FUZZ_CHECK(num_bytes == expected_bytes);
}

// Mostly the input's own end, so that a read past it is found; sometimes repeated, for pieces of thousands of bytes.
std::string_view take_long_text(FuzzInput& input, size_t num_copies, std::string& storage) {
    const std::string_view text = input.take_rest();
    if (num_copies < 32) {
        return text;
    }
    while (num_copies-- > 0 && storage.size() + text.size() <= kMaxTextBytes) {
        storage += text;
    }
    storage.shrink_to_fit();
    return storage;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    textmill::fuzz::write_seeds(*argc, *argv, textmill::fuzz::named_patterns().size(), 5);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    FuzzInput input(data, size);
    const auto splitter = textmill::fuzz::take_pattern(input);
    const size_t num_merges = input.take_below(64);
    const size_t num_copies = input.take_below(64);
    const size_t training_bytes = 2 * input.take_byte();
    const size_t task_bytes = 1 + input.take_byte();
    std::string storage;
    const std::string_view text = take_long_text(input, num_copies, storage);

    const Learned learned = textmill::fuzz::learn_plainly(*splitter, text.substr(0, training_bytes), num_merges);
    const Encoder encoder(splitter, Vocab(learned.tokens, learned.merges, {}, false));
    const std::vector<TokenId> ids = encode(encoder, text);
    std::string decoded;
    for (const TokenId id : ids) {
        decoded += encoder.vocab().bytes_of(id);
    }
    FUZZ_CHECK(decoded == text);
    FUZZ_CHECK(encode(encoder, text) == ids);  // now from what the first call remembered
    FUZZ_CHECK(encoder.count(text) == ids.size());
    FUZZ_CHECK(encode_by_pieces(encoder, learned, text) == ids);
    check_head(encoder, text, ids, task_bytes);
    check_batch(encoder, text, 1);
    check_tasks_split_alike(*splitter, text, task_bytes);
    return 0;
}
