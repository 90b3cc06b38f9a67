// Tests of the tokenizer core without Python, for the sanitizers: what it computes is checked from Python against
// twins.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/encode.h"
#include "tokenizer/parallel.h"
#include "tokenizer/train.h"

namespace {

using namespace textmill::tokenizer;

using SplitterPtr = std::shared_ptr<const Splitter>;

SplitterPtr splitter_of(std::vector<std::string> stage_regexes) {
    return std::make_shared<const Splitter>(std::move(stage_regexes));
}

const SplitterPtr kGpt2 =
    splitter_of({R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"});
const SplitterPtr kCl100k = splitter_of({R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|)"
                                         R"( ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"});
const SplitterPtr kChar = splitter_of({R"([\s\S])"});
const SplitterPtr kStages = splitter_of({R"(\p{N})", R"([A-Za-z]+|\s+$)"});  // with gaps
const std::array<SplitterPtr, 4> kPatterns = {kGpt2, kCl100k, kChar, kStages};

void check(bool condition, const char* what, int line) {
    if (!condition) {
        std::fprintf(stderr, "line %d: %s\n", line, what);
        std::exit(1);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

bool throws(const std::function<void()>& call) {
    try {
        call();
    } catch (const std::exception&) {
        return true;
    }
    return false;
}

std::vector<std::string> split(const SplitterPtr& splitter, std::string_view text) {
    std::vector<std::string> pieces;
    Scanner scanner(*splitter, text);
    Piece piece{};
    while (scanner.next(piece)) {
        CHECK(piece.end > piece.begin);
        pieces.emplace_back(text.substr(piece.begin, piece.end - piece.begin));
    }
    return pieces;
}

// Few kinds of bytes, so that runs, contractions, whitespace and broken UTF-8 meet often. Exactly sized, so that a read
// past the end is one past the allocation.
std::string random_text(std::mt19937& draw, size_t max_bytes) {
    static const std::array<std::string_view, 24> kParts = {"a",
                                                            "B",
                                                            " ",
                                                            "  ",
                                                            "\n",
                                                            "\r\n",
                                                            "\t",
                                                            "'s",
                                                            "'Re",
                                                            "'\xC5\xBF",
                                                            "1",
                                                            "23456",
                                                            ".",
                                                            "'",
                                                            "\xC3\xA9",
                                                            "\xE4\xB8\xAD",
                                                            "\xF0\x9F\xA4\x96",
                                                            "\xFF",
                                                            "\xE2\x82",
                                                            "\xF0\x9F\x98",
                                                            "\xC3",
                                                            "\xE3\x80\x80",
                                                            "\xED\xA0\x80",
                                                            "\xC2\xBD"};
    std::string text;
    const size_t num_parts = draw() % (max_bytes / 2 + 1);
    for (size_t i = 0; i < num_parts; ++i) {
        text += kParts[draw() % kParts.size()];
    }
    text.resize(std::min(text.size(), max_bytes));
    text.shrink_to_fit();
    return text;
}

std::string repeated(std::string_view unit, size_t num_bytes) {
    std::string text;
    while (text.size() < num_bytes) {
        text += unit;
    }
    return text;
}

std::vector<std::string> byte_tokens() {
    std::vector<std::string> tokens;
    for (const uint8_t byte : bytes_in_alphabet_order()) {
        tokens.emplace_back(1, static_cast<char>(byte));
    }
    return tokens;
}

Vocab train(const SplitterPtr& pattern, const std::vector<std::string>& texts, size_t num_merges,
            unsigned num_threads = 1) {
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    Trainer trainer(pattern, {.num_threads = num_threads});
    trainer.add(views);
    LearnedMerges learned = trainer.learn({.num_tokens = num_merges, .tokens = byte_tokens()}, [] {});
    std::vector<std::string> tokens = byte_tokens();
    for (const Merge& merge : learned.merges) {
        tokens.push_back(tokens[merge.left] + tokens[merge.right]);
    }
    return Vocab(std::move(tokens), std::move(learned.merges), {}, false);
}

std::vector<TokenId> encode(const Encoder& encoder, std::string_view text) {
    TokenBuffer ids;
    encoder.encode(text, ids);
    return {ids.data(), ids.data() + ids.size()};
}

std::string decode(const Vocab& vocab, const std::vector<TokenId>& ids) {
    std::string text;
    for (const TokenId id : ids) {
        text += vocab.bytes_of(id);
    }
    return text;
}

void test_classes() {
    CHECK(std::string_view(unicode_version()) == "16.0.0");
    CHECK(class_of(U'a') == CharClass::kLetter);
    CHECK(class_of(0x2167) == CharClass::kNumber);
    CHECK(class_of(0x3000) == CharClass::kWhitespace);
    CHECK(class_of(0x0301) == CharClass::kOther);
    CHECK(class_of(0x10FFFF) == CharClass::kOther);
    size_t num_whitespace = 0;
    for (const CodePointRange& range : property_ranges("whitespace")) {
        num_whitespace += range.last - range.first + 1;
    }
    CHECK(num_whitespace == 25);
}

void test_decoding_of_every_two_bytes() {
    for (unsigned first = 0; first < 256; ++first) {
        for (unsigned second = 0; second < 256; ++second) {
            const std::string text = {static_cast<char>(first), static_cast<char>(second)};
            const Char decoded = char_at(text, 0);
            const bool is_pair = first >= 0xC2 && first < 0xE0 && (second & 0xC0) == 0x80;
            CHECK(decoded.num_bytes == (is_pair ? 2u : 1u));
            CHECK((decoded.code_point == kInvalidByte) == (first >= 0x80 && !is_pair));
        }
    }
}

void test_split() {
    using Pieces = std::vector<std::string>;
    CHECK(split(kGpt2, "I've 12  x") == (Pieces{"I", "'ve", " 12", " ", " x"}));
    CHECK(split(kCl100k, "I'VE 1234\n \n x") == (Pieces{"I", "'VE", " ", "123", "4", "\n \n", " x"}));
    CHECK(split(kCl100k, "a\n  ") == (Pieces{"a", "\n", "  "}));
    CHECK(split(kChar, "a\xC3\xA9\xC3") == (Pieces{"a", "\xC3\xA9", "\xC3"}));
    CHECK(split(kGpt2, "").empty());
}

void test_named_patterns_can_be_cut() {
    for (const SplitterPtr& pattern : {kGpt2, kCl100k, kChar}) {
        const SafeCuts& cuts = pattern->safe_cuts();
        CHECK(cuts.is_any() && cuts.is_safe('a', ' ') && cuts.is_safe('a', '\n'));
        CHECK(cuts.is_safe(0x436, ' ') && cuts.is_safe(0x4E2D, 0x3002));
    }
    CHECK(kStages->safe_cuts().is_safe('a', ' ') && !kStages->safe_cuts().is_safe(0x436, ' '));
    CHECK(!splitter_of({"a b"})->safe_cuts().is_any());
}

void test_what_the_automaton_cannot_match_is_refused() {
    for (const char* regex :
         {"(a",      "a)",      "[a",           "a**",   "(a*)*",  "(?<=a)b", "(?=ab)",
          "\\1",     "(?>a|b)", "\\p{Nothing}", "{2}",   "a{3,2}", "a{1001}", "((((a{99}){99}){99}){99})",
          "\\xZZ",   "\\uD800", "\\",           "[b-a]", "[[a]]",  "\xFF",    "^a",
          "\\bword", "[a-",     "\\x{110000}",  "\\p{L"}) {
        CHECK(throws([&] { splitter_of({regex}); }));
    }
    CHECK(throws([] { splitter_of({}); }));
    CHECK(throws([] { splitter_of(std::vector<std::string>(17, "a")); }));
    CHECK(throws([] { splitter_of({std::string(100'000, '(')}); }));
    CHECK(throws([] { splitter_of({std::string(100'000, 'a')}); }));
}

// A regex of random parts must compile or be refused, and what compiles must tile every text.
void test_random_regexes() {
    std::mt19937 draw(5);
    static const std::array<std::string_view, 28> kParts = {
        "a",   "b",     ".",       "|",  "(",      ")",        "[^a]", "\\s", "*",    "+",
        "?",   "{1,2}", "(?!\\S)", "$",  "\\p{L}", "(?:",      "*?",   "++",  "(?i:", "[a-c\\d]",
        "\\n", "'",     "(?=b|$)", "?+", "{2}+",   "\xC3\xA9", "\\",   "["};
    for (int round = 0; round < 1'000; ++round) {
        std::string regex;
        for (unsigned i = draw() % 12; i-- > 0;) {
            regex += kParts[draw() % kParts.size()];
        }
        SplitterPtr splitter;
        if (throws([&] { splitter = splitter_of({regex}); })) {
            continue;
        }
        const std::string text = random_text(draw, 40);
        std::string joined;
        for (const std::string& piece : split(splitter, text)) {
            joined += piece;
        }
        CHECK(joined == text);
    }
}

void test_failing_scans_are_linear() {
    const std::string text = repeated("a", 1'000'000);
    CHECK(split(splitter_of({"a*b|a"}), text).size() == text.size());
    CHECK(split(splitter_of({"a*b"}), text).size() == 1);
    CHECK(split(splitter_of({"(?:aa)*c|(?:aaa)*b|a"}), text).size() == text.size());
}

void test_safe_cuts_change_no_piece() {
    std::mt19937 draw(1);
    for (int round = 0; round < 3000; ++round) {
        const std::string text = random_text(draw, 60);
        for (const SplitterPtr& pattern : kPatterns) {
            const size_t cut = next_safe_cut(pattern->safe_cuts(), text, draw() % (text.size() + 1));
            std::vector<std::string> pieces = split(pattern, text.substr(0, cut));
            for (std::string& piece : split(pattern, text.substr(cut))) {
                pieces.push_back(std::move(piece));
            }
            CHECK(pieces == split(pattern, text));
        }
    }
}

void test_round_trips_and_threads() {
    std::mt19937 draw(2);
    for (int round = 0; round < 60; ++round) {
        std::vector<std::string> texts;
        for (int i = 0; i < 20; ++i) {
            texts.push_back(random_text(draw, 400));
        }
        texts.push_back(repeated("ab cd\xFF ", 600'000));
        const std::vector<std::string_view> views(texts.begin(), texts.end());
        const SplitterPtr& pattern = kPatterns[draw() % kPatterns.size()];
        const Encoder encoder(pattern, train(pattern, texts, draw() % 300));
        const EncodedBatch batch = encoder.encode_batch(views, 1);
        const EncodedBatch threaded = encoder.encode_batch(views, 4);
        const std::vector<TokenId> all(batch.ids.data(), batch.ids.data() + batch.ids.size());
        CHECK(all == std::vector<TokenId>(threaded.ids.data(), threaded.ids.data() + threaded.ids.size()));
        CHECK(batch.offsets == threaded.offsets);
        for (size_t i = 0; i < texts.size(); ++i) {
            const std::vector<TokenId> ids = encode(encoder, texts[i]);
            CHECK(decode(encoder.vocab(), ids) == texts[i]);
            CHECK(encoder.count(texts[i]) == ids.size());
            CHECK(std::vector<TokenId>(all.begin() + batch.offsets[i], all.begin() + batch.offsets[i + 1]) == ids);
        }
    }
}

void test_training_is_independent_of_threads() {
    std::mt19937 draw(3);
    std::vector<std::string> texts;
    for (int i = 0; i < 40; ++i) {
        texts.push_back(repeated(random_text(draw, 200) + "word end", 100'000));
    }
    const Vocab one = train(kCl100k, texts, 500, 1);
    const Vocab four = train(kCl100k, texts, 500, 4);
    CHECK(one.size() == four.size());
    for (TokenId id = 0; id < one.size(); ++id) {
        CHECK(one.bytes_of(id) == four.bytes_of(id));
    }
}

void test_long_runs() {
    for (const std::string_view unit : {"a", " ", "\n", "\xCC\x81", "\xFF", "ab", "\xF0"}) {
        const std::string text = repeated(unit, 200'000);
        for (const SplitterPtr& pattern : kPatterns) {
            const Encoder encoder(pattern, train(pattern, {text.substr(0, 999), text}, 40));
            CHECK(decode(encoder.vocab(), encode(encoder, text)) == text);
        }
    }
}

void test_ranks_give_back_the_merges_that_made_them() {
    std::mt19937 draw(4);
    for (int round = 0; round < 200; ++round) {
        const std::vector<std::string> texts = {random_text(draw, 300), random_text(draw, 300)};
        const Vocab vocab = train(kCl100k, texts, 100);
        std::vector<std::string> tokens;
        for (TokenId id = 0; id < vocab.size(); ++id) {
            tokens.emplace_back(vocab.bytes_of(id));
        }
        const std::vector<Merge> merges = merges_from_ranks(tokens);
        CHECK(merges.size() == vocab.size() - 256);
        for (size_t rank = 0; rank < merges.size(); ++rank) {
            CHECK(vocab.merges().rank_of(merges[rank].left, merges[rank].right) == rank);
            CHECK(vocab.merges().product_of(static_cast<uint32_t>(rank)) == merges[rank].product);
        }
    }
}

void test_what_does_not_fit_is_refused() {
    std::vector<std::string> bytes;
    for (const uint8_t byte : bytes_in_alphabet_order()) {
        bytes.emplace_back(1, static_cast<char>(byte));
    }
    CHECK(throws([] { Vocab({}, {}, {}, false); }));
    CHECK(throws([&] { Vocab(bytes, std::vector<Merge>{{0, 1, 256}}, {}, false); }));
    const TokenId beyond = 256;
    CHECK(throws([&] { Vocab(bytes, {}, {&beyond, 1}, false); }));
    CHECK(throws([] { merges_from_ranks(std::vector<std::string>{"a"}); }));
    CHECK(throws([] {
        Trainer trainer(kGpt2, {.num_threads = 1, .memory_limit_bytes = 1000});
        const std::string_view text = "some words";
        trainer.add({&text, 1});
    }));
    CHECK(throws(
        [] { run_tasks(8, 3, [](size_t task, unsigned) { task == 5 ? throw std::runtime_error("") : void(); }); }));
}

}  // namespace

int main() {
    test_classes();
    test_decoding_of_every_two_bytes();
    test_split();
    test_named_patterns_can_be_cut();
    test_what_the_automaton_cannot_match_is_refused();
    test_random_regexes();
    test_failing_scans_are_linear();
    test_safe_cuts_change_no_piece();
    test_round_trips_and_threads();
    test_training_is_independent_of_threads();
    test_long_runs();
    test_ranks_give_back_the_merges_that_made_them();
    test_what_does_not_fit_is_refused();
    std::puts("tokenizer: all tests passed");
    return 0;
}
