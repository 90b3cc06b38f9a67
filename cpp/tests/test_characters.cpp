// Tests of vocabularies over characters without Python, for the sanitizers: what they compute is checked from Python
// against sentencepiece, Hugging Face and the twin.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/character_encode.h"

namespace {

using namespace textmill::tokenizer;

void check(bool condition, const char* what, int line) {
    if (!condition) {
        std::fprintf(stderr, "line %d: %s\n", line, what);
        std::exit(1);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

constexpr std::array<std::string_view, 12> kParts = {
    "a",  "b", " ", "  ", "\xE2\x96\x81", "\xC3\xA9", "\n", "\xE4\xB8", "\xE4\xB8\xAD", "\xFF", "\xF0\x9F\xA4\x96",
    "<s>"};

// Exactly sized, so that a read past the end is one past the allocation.
std::string random_text(std::mt19937& draw, size_t max_parts) {
    std::string text;
    for (size_t part = draw() % max_parts; part > 0; --part) {
        text += kParts[draw() % kParts.size()];
    }
    text.shrink_to_fit();
    return text;
}

struct Pieces {
    std::vector<std::string> texts = {"<unk>", "<s>"};
    std::vector<PieceKind> kinds = {PieceKind::kUnknown, PieceKind::kControl};
    std::vector<float> scores = {0, 0};
};

Pieces random_pieces(std::mt19937& draw) {
    static const std::array<std::string_view, 5> kCharacters = {"a", "b", "\xE2\x96\x81", "\xC3\xA9", "\xE4\xB8\xAD"};
    Pieces pieces;
    for (size_t count = draw() % 40; count > 0; --count) {
        std::string text;
        for (size_t length = 1 + draw() % 6; length > 0; --length) {
            text += kCharacters[draw() % kCharacters.size()];
        }
        bool is_new = true;
        for (const std::string& other : pieces.texts) {
            is_new = is_new && other != text;
        }
        if (is_new) {
            const std::array<PieceKind, 5> kinds = {PieceKind::kNormal, PieceKind::kNormal, PieceKind::kNormal,
                                                    PieceKind::kUserDefined, PieceKind::kUnused};
            pieces.texts.push_back(text);
            pieces.kinds.push_back(kinds[draw() % kinds.size()]);
            pieces.scores.push_back(static_cast<float>(draw() % 7));
        }
    }
    return pieces;
}

std::string random_charsmap(std::mt19937& draw) {
    if (draw() % 2 == 0) {
        return {};
    }
    std::string blob = {'\x40', 0, 0, 0};
    for (size_t i = 0; i < 64; ++i) {
        blob += static_cast<char>(draw() % 4 == 0 ? draw() % 256 : draw() % 2);
    }
    return blob + std::string("ab\0 \0", 5);
}

void encode_random_text_with_random_vocabularies(std::mt19937& draw) {
    const Pieces pieces = random_pieces(draw);
    const auto vocab =
        std::make_shared<const CharacterVocab>(pieces.texts, pieces.kinds, pieces.scores, std::vector<Merge>{}, false);
    const NormalizerRules normalizer_rules = {static_cast<DummyPrefix>(draw() % 3), draw() % 2 == 0, draw() % 2 == 0,
                                              draw() % 2 == 0};
    const MergerRules merger_rules = {draw() % 2 == 0, draw() % 2 == 0, draw() % 2 == 0};
    const CharacterEncoder encoder(vocab, normalizer_rules, random_charsmap(draw), merger_rules);
    std::vector<std::string> texts;
    for (size_t i = 0; i < 20; ++i) {
        texts.push_back(random_text(draw, 60));
    }
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    const EncodedBatch batch = encoder.encode_batch(views, 2);
    CHECK(batch.offsets.size() == texts.size() + 1);
    for (size_t i = 0; i < texts.size(); ++i) {
        const std::vector<TokenId> ids = encoder.encode(texts[i]);
        const SpannedTokens spanned = encoder.encode_with_spans(texts[i]);
        CHECK(spanned.ids == ids);
        CHECK(encoder.trace(texts[i]).encoded.ids == ids);
        CHECK(static_cast<size_t>(batch.offsets[i + 1] - batch.offsets[i]) == ids.size());
        int64_t last = 0;
        for (const int64_t end : spanned.ends) {
            CHECK(end >= last && end <= static_cast<int64_t>(texts[i].size()));
            last = end;
        }
        for (const TokenId id : ids) {
            CHECK(id < vocab->size() && vocab->kind(id) != PieceKind::kControl);
        }
    }
}

void refuse_what_does_not_fit() {
    const std::vector<std::string> texts = {"<unk>", "a", "a"};
    const std::vector<PieceKind> kinds = {PieceKind::kUnknown, PieceKind::kNormal, PieceKind::kNormal};
    bool is_refused = false;
    try {
        const CharacterVocab vocab(texts, kinds, std::vector<float>{0, 0, 0}, std::vector<Merge>{}, false);
    } catch (const std::invalid_argument&) {
        is_refused = true;
    }
    CHECK(is_refused);
}

}  // namespace

int main() {
    std::mt19937 draw(1);
    for (int round = 0; round < 300; ++round) {
        encode_random_text_with_random_vocabularies(draw);
    }
    refuse_what_does_not_fit();
    std::puts("ok");
}
