#include "tokenizer/character_encode.h"

#include <algorithm>
#include <functional>

#include "tokenizer/parallel.h"
#include "tokenizer/unicode.h"

namespace textmill::tokenizer {
namespace {

constexpr uint32_t kNoSymbol = 0xFFFFFFFF;
constexpr size_t kTaskBytes = size_t{1} << 18;

}  // namespace

// A cut that the rules ask for, or one that changes nothing and keeps the heap small.
bool CharacterMerger::is_cut(std::string_view text, size_t at, bool follows_space) const {
    if (at == 0 || !text.substr(at).starts_with(kSpaceSymbol)) {
        return false;
    }
    if (rules_.splits_words) {
        return true;
    }
    return !follows_space && vocab_.ends_at_spaces() && !vocab_.has_unused() && !rules_.whole_words;
}

void CharacterMerger::encode(std::string_view text, EncodedText& encoded) {
    parts_of_unused_.clear();
    follows_unknown_ = false;
    size_t word = 0;
    bool follows_space = false;
    for (size_t at = 0; at < text.size();) {
        if (is_cut(text, at, follows_space)) {
            encode_word(text, word, at, encoded);
            word = at;
        }
        const LongestMatcher::Match match = vocab_.user_defined().match(text.substr(at));
        if (match.num_bytes > 0) {
            symbols_.push_back({match.id, static_cast<uint32_t>(at), static_cast<uint32_t>(at + match.num_bytes)});
        } else {
            const Char character = char_at(text, at);
            const TokenId id = character.code_point == kInvalidByte ? kNoToken : vocab_.symbol_of(character.code_point);
            symbols_.push_back({id, static_cast<uint32_t>(at), static_cast<uint32_t>(at + character.num_bytes)});
        }
        at = symbols_.back().end;
        follows_space = text.substr(0, at).ends_with(kSpaceSymbol);
    }
    if (!text.empty()) {
        encode_word(text, word, text.size(), encoded);
    }
}

void CharacterMerger::encode_word(std::string_view text, size_t begin, size_t end, EncodedText& encoded) {
    const size_t num_steps = encoded.steps.size();
    const size_t num_tokens = encoded.ids.size();
    follows_unknown_ = follows_unknown_ && !rules_.splits_words;
    const TokenId whole = rules_.whole_words ? vocab_.piece(text.substr(begin, end - begin)) : kNoToken;
    if (whole != kNoToken) {
        emit_symbol(whole, begin, end, text, encoded);
    } else {
        merge_symbols(encoded);
        for (uint32_t i = 0; i != kNoSymbol; i = symbols_[i].next) {
            emit(symbols_[i], text, encoded);
        }
    }
    symbols_.clear();
    if (with_trace_) {
        encoded.words.push_back({begin, end, encoded.steps.size() - num_steps, encoded.ids.size() - num_tokens});
    }
}

void CharacterMerger::rank_pair(uint32_t at) {
    Symbol& symbol = symbols_[at];
    const RankedProduct merge = symbol.next == kNoSymbol ? RankedProduct{kNoRank, kNoToken}
                                                         : vocab_.merge_of(symbol.id, symbols_[symbol.next].id);
    symbol.rank = merge.rank;
    symbol.product = merge.product;
    if (merge.rank != kNoRank && vocab_.kind(merge.product) == PieceKind::kUnused) {
        parts_of_unused_[merge.product] = {symbol.id, symbols_[symbol.next].id};
    }
}

void CharacterMerger::push(uint32_t at) {
    rank_pair(at);
    if (symbols_[at].rank != kNoRank) {
        heap_.push_back(uint64_t{symbols_[at].rank} << 32 | at);
        std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
    }
}

void CharacterMerger::merge_symbols(EncodedText& encoded) {
    const auto num_symbols = static_cast<uint32_t>(symbols_.size());
    for (uint32_t i = 0; i < num_symbols; ++i) {
        symbols_[i].previous = i - 1;
        symbols_[i].next = i + 1 < num_symbols ? i + 1 : kNoSymbol;
    }
    heap_.clear();
    for (uint32_t i = 0; i < num_symbols; ++i) {
        push(i);
    }
    const auto token_of = [this](TokenId id) { return vocab_.is_token(id) ? id : vocab_.unknown(); };
    while (!heap_.empty()) {
        const uint64_t entry = heap_.front();
        std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
        heap_.pop_back();
        const auto at = static_cast<uint32_t>(entry);
        Symbol& symbol = symbols_[at];
        if (symbol.rank != static_cast<uint32_t>(entry >> 32)) {
            continue;  // merged since, or its neighbour was: the pair that was ranked is gone
        }
        Symbol& next = symbols_[symbol.next];
        if (with_trace_) {
            encoded.steps.push_back(
                {symbol.begin, token_of(symbol.id), token_of(next.id), symbol.product, symbol.rank});
        }
        symbol.id = symbol.product;
        symbol.end = next.end;
        symbol.next = next.next;
        next.rank = kNoRank;
        if (symbol.next != kNoSymbol) {
            symbols_[symbol.next].previous = at;
        }
        if (at > 0) {
            push(symbol.previous);
        }
        push(at);
    }
}

bool CharacterMerger::is_unused(TokenId id) const {
    return vocab_.is_token(id) && vocab_.kind(id) == PieceKind::kUnused;
}

void CharacterMerger::emit(const Symbol& symbol, std::string_view text, EncodedText& encoded) {
    if (is_unused(symbol.id)) {
        emit_unused(symbol, text, encoded);
    } else {
        emit_symbol(symbol.id, symbol.begin, symbol.end, text, encoded);
    }
}

void CharacterMerger::emit_unused(const Symbol& symbol, std::string_view text, EncodedText& encoded) {
    std::vector<TokenId> waiting = {symbol.id};
    size_t begin = symbol.begin;
    while (!waiting.empty()) {
        const TokenId id = waiting.back();
        waiting.pop_back();
        const auto parts = parts_of_unused_.find(id);
        if (parts != parts_of_unused_.end()) {
            waiting.push_back(parts->second.second);
            waiting.push_back(parts->second.first);
        } else {
            emit_symbol(is_unused(id) ? kNoToken : id, begin, begin + vocab_.num_bytes(id), text, encoded);
            begin += vocab_.num_bytes(id);
        }
    }
}

void CharacterMerger::emit_symbol(TokenId id, size_t begin, size_t end, std::string_view text, EncodedText& encoded) {
    if (vocab_.is_token(id)) {
        follows_unknown_ = false;
        add_token(id, end, encoded);
    } else if (vocab_.has_byte_fallback()) {
        for (size_t at = begin; at < end; ++at) {
            add_token(vocab_.byte_tokens()[static_cast<uint8_t>(text[at])], at + 1, encoded);
        }
    } else if (follows_unknown_ && rules_.fuse_unknown) {
        encoded.ends.back() = end;
    } else {
        follows_unknown_ = true;
        add_token(vocab_.unknown(), end, encoded);
    }
}

void CharacterMerger::add_token(TokenId id, size_t end, EncodedText& encoded) const {
    encoded.ids.push_back(id);
    encoded.ends.push_back(end);
}

CharacterEncoder::CharacterEncoder(std::shared_ptr<const CharacterVocab> vocab, NormalizerRules normalizer_rules,
                                   std::string_view charsmap, MergerRules merger_rules)
    : vocab_(std::move(vocab)), normalizer_(normalizer_rules, charsmap, *vocab_), merger_rules_(merger_rules) {}

std::vector<TokenId> CharacterEncoder::encode(std::string_view text) const {
    EncodedText encoded;
    const NormalizedText normalized = normalizer_.normalize(text, false);
    CharacterMerger(*vocab_, merger_rules_, false).encode(normalized.text, encoded);
    return std::move(encoded.ids);
}

SpannedTokens CharacterEncoder::encode_with_spans(std::string_view text) const {
    EncodedText encoded;
    const NormalizedText normalized = normalizer_.normalize(text, true);
    CharacterMerger(*vocab_, merger_rules_, false).encode(normalized.text, encoded);
    SpannedTokens tokens;
    for (const size_t end : encoded.ends) {
        tokens.ends.push_back(normalized.origins[end]);
    }
    tokens.ids = std::move(encoded.ids);
    return tokens;
}

EncodedBatch CharacterEncoder::encode_batch(std::span<const std::string_view> texts, unsigned num_threads) const {
    std::vector<size_t> first_texts = {0};  // of each task
    size_t num_bytes = 0;
    for (size_t text = 0; text < texts.size(); ++text) {
        if (num_bytes >= kTaskBytes) {
            first_texts.push_back(text);
            num_bytes = 0;
        }
        num_bytes += texts[text].size();
    }
    first_texts.push_back(texts.size());
    std::vector<std::vector<TokenId>> ids(texts.size());
    const size_t num_tasks = first_texts.size() - 1;
    run_tasks(num_tasks, threads_for(num_threads, num_tasks), [&](size_t task, unsigned) {
        for (size_t text = first_texts[task]; text < first_texts[task + 1]; ++text) {
            ids[text] = encode(texts[text]);
        }
    });
    EncodedBatch batch;
    batch.offsets.assign(1, 0);
    for (const std::vector<TokenId>& part : ids) {
        batch.ids.append(part);
        batch.offsets.push_back(static_cast<int64_t>(batch.ids.size()));
    }
    return batch;
}

CharacterTrace CharacterEncoder::trace(std::string_view text) const {
    CharacterTrace trace;
    NormalizedText normalized = normalizer_.normalize(text, true);
    CharacterMerger(*vocab_, merger_rules_, true).encode(normalized.text, trace.encoded);
    trace.text = std::move(normalized.text);
    trace.origins = std::move(normalized.origins);
    return trace;
}

}  // namespace textmill::tokenizer
