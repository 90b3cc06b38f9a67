// What files hold, as any bytes: it is refused with an exception that says why, or it works.
#include <memory>
#include <stdexcept>
#include <utility>

#include "fuzz/fuzz_input.h"
#include "fuzz/named_patterns.h"
#include "tokenizer/character_encode.h"
#include "tokenizer/encode.h"
#include "tokenizer/ranks.h"

namespace {

using namespace textmill::tokenizer;
using textmill::fuzz::FuzzInput;

// What names a token or a piece. A few values beyond the last one too.
TokenId take_id(FuzzInput& input, size_t num_tokens) {
    const size_t value = input.take_byte() + (input.take_byte() << 8);
    return static_cast<TokenId>(value % (num_tokens + 2));
}

void load_regex(FuzzInput& input) {
    std::vector<std::string> stages;
    for (size_t count = 1 + input.take_below(3); count > 0; --count) {
        stages.emplace_back(input.take_text());
    }
    const std::string_view text = input.take_rest();
    const Splitter splitter(stages);
    Scanner scanner(splitter, text);
    size_t end = 0;
    for (Piece piece{}; scanner.next(piece); end = piece.end) {
        FUZZ_CHECK(piece.begin == end && piece.end > piece.begin);
    }
    FUZZ_CHECK(end == text.size());
    const size_t cut = next_safe_cut(splitter.safe_cuts(), text, text.size() / 2);
    FUZZ_CHECK(cut <= text.size() && (splitter.safe_cuts().is_any() || cut == text.size()));
}

// Bytes, texts, holes, and tokens that are two earlier ones together.
std::vector<std::string> take_tokens(FuzzInput& input, std::vector<Merge>& merges) {
    std::vector<std::string> tokens;
    const bool misses_bytes = input.take_flag();
    for (size_t byte = 0; byte < 256 && !misses_bytes; ++byte) {
        tokens.emplace_back(1, static_cast<char>(byte));
    }
    for (size_t count = input.take_byte(); count > 0 && !input.is_empty(); --count) {
        if (tokens.empty() || input.take_below(8) == 0) {
            tokens.emplace_back(input.take(input.take_below(4)));
            continue;
        }
        const auto left = static_cast<TokenId>(take_id(input, tokens.size()) % tokens.size());
        const auto right = static_cast<TokenId>(take_id(input, tokens.size()) % tokens.size());
        if (tokens[left].size() + tokens[right].size() < 200) {
            merges.push_back({left, right, static_cast<TokenId>(tokens.size())});
            tokens.push_back(tokens[left] + tokens[right]);
        }
    }
    return tokens;
}

std::shared_ptr<const Splitter> gpt2() {
    static const auto splitter =
        std::make_shared<const Splitter>(textmill::fuzz::named_patterns().front().stage_regexes);
    return splitter;
}

// The bytes that a vocabulary has a token for.
std::string without_dropped(const Vocab& vocab, std::string_view text) {
    std::string kept;
    for (const char byte : text) {
        if (vocab.byte_tokens()[static_cast<uint8_t>(byte)] != kNoToken) {
            kept += byte;
        }
    }
    return kept;
}

void encode_some(Vocab vocab, std::string_view text) {
    const Encoder encoder(gpt2(), std::move(vocab));
    TokenBuffer ids;
    encoder.encode(text, ids);
    std::string decoded;
    for (size_t i = 0; i < ids.size(); ++i) {
        FUZZ_CHECK(ids.data()[i] < encoder.vocab().size());
        decoded += encoder.vocab().bytes_of(ids.data()[i]);
    }
    FUZZ_CHECK(encoder.vocab().whole_pieces() || decoded == without_dropped(encoder.vocab(), text));
}

void load_merges(FuzzInput& input) {
    std::vector<Merge> merges;
    std::vector<std::string> tokens = take_tokens(input, merges);
    std::vector<TokenId> special_ids;
    for (size_t count = input.take_below(4); count > 0; --count) {
        special_ids.push_back(take_id(input, tokens.size()));
    }
    if (!merges.empty() && input.take_flag()) {
        std::swap(merges[input.take_byte() % merges.size()], merges.back());
        merges[input.take_byte() % merges.size()].product = take_id(input, tokens.size());
    }
    const bool whole_pieces = input.take_flag();
    const bool drops_bytes = input.take_flag();
    Vocab vocab(tokens, merges, special_ids, whole_pieces, drops_bytes);
    encode_some(std::move(vocab), input.take_rest());
}

void load_ranks(FuzzInput& input) {
    std::vector<Merge> unused;
    std::vector<std::string> tokens = take_tokens(input, unused);
    std::vector<Merge> merges = merges_from_ranks(tokens);
    for (const Merge& merge : merges) {
        FUZZ_CHECK(tokens[merge.left] + tokens[merge.right] == tokens[merge.product]);
    }
    encode_some(Vocab(tokens, merges, {}, false), input.take_rest());
}

struct Pieces {
    std::vector<std::string> texts;
    std::vector<PieceKind> kinds;
    std::vector<float> scores;
    std::vector<Merge> merges;
};

void add_bytes(Pieces& pieces) {
    for (size_t byte = 0; byte < 256; ++byte) {
        static constexpr std::string_view kDigits = "0123456789ABCDEF";
        pieces.texts.push_back({'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'});
        pieces.kinds.push_back(PieceKind::kByte);
    }
}

Pieces take_pieces(FuzzInput& input, bool has_bytes) {
    Pieces pieces{{"<unk>"}, {PieceKind::kUnknown}, {}, {}};
    if (has_bytes) {
        add_bytes(pieces);
    }
    for (size_t count = input.take_byte(); count > 0 && !input.is_empty(); --count) {
        const size_t kind = input.take_below(16);
        const auto id = static_cast<TokenId>(pieces.texts.size());
        if (kind < 8) {
            pieces.texts.emplace_back(input.take(input.take_below(8)));
            pieces.kinds.push_back(static_cast<PieceKind>(kind));
            continue;
        }
        const auto left = static_cast<TokenId>(take_id(input, id) % id);
        const auto right = static_cast<TokenId>(take_id(input, id) % id);
        if (pieces.texts[left].size() + pieces.texts[right].size() < 200) {
            pieces.texts.push_back(pieces.texts[left] + pieces.texts[right]);
            pieces.kinds.push_back(kind == 8 ? PieceKind::kUnused : PieceKind::kNormal);
            pieces.merges.push_back({left, right, id});
        }
    }
    if (input.take_flag()) {
        for (size_t i = 0; i < pieces.texts.size(); ++i) {
            pieces.scores.push_back(static_cast<float>(input.take_below(5)));
        }
    }
    return pieces;
}

// A charsmap whose sizes are right half of the time, so that what follows them is read.
std::string take_charsmap(FuzzInput& input) {
    const size_t num_units = input.take_byte();
    if (num_units % 2 == 0) {
        return std::string(input.take(num_units));
    }
    std::string blob = {static_cast<char>(4 * num_units), static_cast<char>(4 * num_units >> 8), 0, 0};
    blob += input.take(4 * num_units);
    blob.resize(4 + 4 * num_units);
    return blob + std::string(input.take_text()) + std::string(" \0", 2);
}

void load_characters(FuzzInput& input) {
    const bool has_byte_fallback = input.take_flag();
    const bool has_bytes = has_byte_fallback != (input.take_below(16) == 0);
    const Pieces pieces = take_pieces(input, has_bytes);
    const auto vocab = std::make_shared<const CharacterVocab>(pieces.texts, pieces.kinds, pieces.scores, pieces.merges,
                                                              has_byte_fallback);
    const NormalizerRules normalizer_rules = {static_cast<DummyPrefix>(input.take_below(3)), input.take_flag(),
                                              input.take_flag(), input.take_flag()};
    const MergerRules merger_rules = {input.take_flag(), input.take_flag(), input.take_flag()};
    const CharacterEncoder encoder(vocab, normalizer_rules, take_charsmap(input), merger_rules);
    const std::string_view text = input.take_rest();
    const std::vector<TokenId> ids = encoder.encode(text);
    const SpannedTokens spanned = encoder.encode_with_spans(text);
    FUZZ_CHECK(spanned.ids == ids);
    FUZZ_CHECK(encoder.trace(text).encoded.ids == ids);
    const EncodedBatch batch = encoder.encode_batch({&text, 1}, 1);
    FUZZ_CHECK(std::vector<TokenId>(batch.ids.data(), batch.ids.data() + batch.ids.size()) == ids);
    int64_t last = 0;
    for (const int64_t end : spanned.ends) {
        FUZZ_CHECK(end >= last && end <= static_cast<int64_t>(text.size()));
        last = end;
    }
    for (const TokenId id : ids) {
        FUZZ_CHECK(id < vocab->size() && vocab->kind(id) != PieceKind::kControl);
    }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
    textmill::fuzz::write_seeds(*argc, *argv, 8, 3);
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static constexpr void (*kLoaders[])(FuzzInput&) = {load_regex, load_merges, load_ranks, load_characters};
    FuzzInput input(data, size);
    try {
        kLoaders[input.take_below(4)](input);
    } catch (const std::invalid_argument&) {
        // refused
    }
    return 0;
}
