// Any text under a named pattern, with a vocabulary trained on a part of it: what is encoded comes back, and every way
// to encode gives the ids of a plain merge.
#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "fuzz/fuzz_input.h"
#include "fuzz/named_patterns.h"
#include "tokenizer/encode.h"
#include "tokenizer/parallel.h"

namespace {

using namespace textmill::tokenizer;
using textmill::fuzz::FuzzInput;

constexpr size_t kMaxTextBytes = size_t{1} << 12;
constexpr size_t kMaxPlainBytes = 256;  // the plain merge is quadratic

std::shared_ptr<const Splitter> splitter_of(size_t pattern) {
    static std::map<size_t, std::shared_ptr<const Splitter>> compiled;
    auto& splitter = compiled[pattern];
    if (!splitter) {
        splitter = std::make_shared<const Splitter>(textmill::fuzz::named_patterns()[pattern].stage_regexes);
    }
    return splitter;
}

using Pair = std::pair<TokenId, TokenId>;

struct Learned {
    std::vector<std::string> tokens;
    std::vector<Merge> merges;
    std::map<Pair, size_t> ranks;
};

std::vector<std::string_view> split(const Splitter& splitter, std::string_view text) {
    std::vector<std::string_view> pieces;
    Scanner scanner(splitter, text);
    size_t end = 0;
    for (Piece piece{}; scanner.next(piece);) {
        FUZZ_CHECK(piece.begin == end && piece.end > piece.begin);
        end = piece.end;
        pieces.push_back(text.substr(piece.begin, piece.end - piece.begin));
    }
    FUZZ_CHECK(end == text.size());
    return pieces;
}

void merge_pair(std::vector<TokenId>& ids, const Merge& merge) {
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
        if (ids[i] == merge.left && ids[i + 1] == merge.right) {
            ids[i] = merge.product;
            ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
    }
}

std::vector<TokenId> bytes_of(std::string_view piece) {
    const auto* const bytes = reinterpret_cast<const uint8_t*>(piece.data());
    return {bytes, bytes + piece.size()};
}

// Merges the pair that is there most often, again and again.
Learned learn(const Splitter& splitter, std::string_view text, size_t num_merges) {
    Learned learned;
    for (size_t byte = 0; byte < 256; ++byte) {
        learned.tokens.emplace_back(1, static_cast<char>(byte));
    }
    std::vector<std::vector<TokenId>> words;
    for (const std::string_view piece : split(splitter, text)) {
        words.push_back(bytes_of(piece));
    }
    while (learned.merges.size() < num_merges) {
        std::map<Pair, size_t> counts;
        for (const std::vector<TokenId>& word : words) {
            for (size_t i = 0; i + 1 < word.size(); ++i) {
                ++counts[{word[i], word[i + 1]}];
            }
        }
        if (counts.empty()) {
            break;
        }
        const auto& [left, right] = std::max_element(counts.begin(), counts.end(), [](const auto& a, const auto& b) {
                                        return a.second < b.second;
                                    })->first;
        learned.ranks.emplace(Pair{left, right}, learned.merges.size());
        learned.merges.push_back({left, right, static_cast<TokenId>(learned.tokens.size())});
        learned.tokens.push_back(learned.tokens[left] + learned.tokens[right]);
        for (std::vector<TokenId>& word : words) {
            merge_pair(word, learned.merges.back());
        }
    }
    return learned;
}

// The pair of lowest rank first, found by looking at all of them.
std::vector<TokenId> merge_plainly(const Learned& learned, std::string_view piece) {
    std::vector<TokenId> ids = bytes_of(piece);
    while (true) {
        size_t best = learned.merges.size();
        for (size_t i = 0; i + 1 < ids.size(); ++i) {
            const auto found = learned.ranks.find({ids[i], ids[i + 1]});
            best = found == learned.ranks.end() ? best : std::min(best, found->second);
        }
        if (best == learned.merges.size()) {
            return ids;
        }
        merge_pair(ids, learned.merges[best]);
    }
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
        FUZZ_CHECK(piece.size() > kMaxPlainBytes || traced == merge_plainly(learned, piece));
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
        const std::vector<TokenId> ids(batch.ids.begin() + batch.offsets[i], batch.ids.begin() + batch.offsets[i + 1]);
        FUZZ_CHECK(ids == encoder.encode(texts[i]));
    }
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
    const auto splitter = splitter_of(input.take_below(textmill::fuzz::named_patterns().size()));
    const size_t num_merges = input.take_below(64);
    const size_t num_copies = input.take_below(64);
    const size_t training_bytes = 2 * input.take_byte();
    const size_t task_bytes = 1 + input.take_byte();
    std::string storage;
    const std::string_view text = take_long_text(input, num_copies, storage);

    const Learned learned = learn(*splitter, text.substr(0, training_bytes), num_merges);
    const Encoder encoder(splitter, Vocab(learned.tokens, learned.merges, {}, false));
    const std::vector<TokenId> ids = encoder.encode(text);
    std::string decoded;
    for (const TokenId id : ids) {
        decoded += encoder.vocab().bytes_of(id);
    }
    FUZZ_CHECK(decoded == text);
    FUZZ_CHECK(encoder.encode(text) == ids);  // now from what the first call remembered
    FUZZ_CHECK(encoder.count(text) == ids.size());
    FUZZ_CHECK(encode_by_pieces(encoder, learned, text) == ids);
    check_batch(encoder, text, 1);
    check_tasks_split_alike(*splitter, text, task_bytes);
    return 0;
}
