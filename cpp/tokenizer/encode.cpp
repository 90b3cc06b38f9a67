#include "tokenizer/encode.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>

#include "tokenizer/parallel.h"

namespace textmill::tokenizer {
namespace {

// Up to here a scan for the lowest rank after each merge is faster than a heap.
constexpr size_t kMaxShortBytes = 32;
constexpr uint32_t kNoSymbol = 0xFFFFFFFF;
constexpr size_t kTaskBytes = size_t{1} << 18;

}  // namespace

void PieceMerger::append(std::string_view piece, std::vector<TokenId>& ids, std::vector<MergeStep>* steps) {
    if (piece.size() <= kMaxShortBytes) {
        append_short(piece, ids, steps);
    } else {
        append_long(piece, ids, steps);
    }
}

void PieceMerger::append_short(std::string_view piece, std::vector<TokenId>& ids, std::vector<MergeStep>* steps) {
    struct Part {
        TokenId id;
        uint32_t at;
        RankedProduct merge;  // with the next part
    };
    std::array<Part, kMaxShortBytes> parts;
    size_t num_parts = piece.size();
    for (size_t i = 0; i < num_parts; ++i) {
        parts[i] = {byte_tokens_[static_cast<uint8_t>(piece[i])], static_cast<uint32_t>(i), {kNoRank, kNoToken}};
    }
    const auto rank_part = [&](size_t i) {
        parts[i].merge =
            i + 1 < num_parts ? pairs_.find(parts[i].id, parts[i + 1].id) : RankedProduct{kNoRank, kNoToken};
    };
    for (size_t i = 0; i < num_parts; ++i) {
        rank_part(i);
    }
    while (num_parts > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < num_parts; ++i) {
            if (parts[i].merge.rank < parts[best].merge.rank) {
                best = i;
            }
        }
        const RankedProduct merge = parts[best].merge;
        if (merge.rank == kNoRank) {
            break;
        }
        if (steps != nullptr) {
            steps->push_back({parts[best].at, parts[best].id, parts[best + 1].id, merge.product, merge.rank});
        }
        parts[best].id = merge.product;
        for (size_t i = best + 1; i + 1 < num_parts; ++i) {
            parts[i] = parts[i + 1];
        }
        --num_parts;
        rank_part(best);
        if (best > 0) {
            rank_part(best - 1);
        }
    }
    for (size_t i = 0; i < num_parts; ++i) {
        ids.push_back(parts[i].id);
    }
}

void PieceMerger::rank_pair(uint32_t at) {
    Symbol& symbol = symbols_[at];
    const RankedProduct merge =
        symbol.next == kNoSymbol ? RankedProduct{kNoRank, kNoToken} : pairs_.find(symbol.id, symbols_[symbol.next].id);
    symbol.rank = merge.rank;
    symbol.product = merge.product;
}

void PieceMerger::append_long(std::string_view piece, std::vector<TokenId>& ids, std::vector<MergeStep>* steps) {
    if (piece.size() >= kNoSymbol) {
        throw std::length_error("a piece of " + std::to_string(piece.size()) + " bytes is longer than 4 GiB");
    }
    const auto num_symbols = static_cast<uint32_t>(piece.size());
    symbols_.resize(num_symbols);
    for (uint32_t i = 0; i < num_symbols; ++i) {
        symbols_[i] = {byte_tokens_[static_cast<uint8_t>(piece[i])], kNoRank, kNoToken, i - 1,
                       i + 1 < num_symbols ? i + 1 : kNoSymbol};
    }
    const auto entry_of = [this](uint32_t at) { return uint64_t{symbols_[at].rank} << 32 | at; };
    heap_.clear();
    for (uint32_t i = 0; i < num_symbols; ++i) {
        rank_pair(i);
        if (symbols_[i].rank != kNoRank) {
            heap_.push_back(entry_of(i));
        }
    }
    std::make_heap(heap_.begin(), heap_.end(), std::greater<>());
    const auto update = [&](uint32_t at) {
        rank_pair(at);
        if (symbols_[at].rank != kNoRank) {
            heap_.push_back(entry_of(at));
            std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
        }
    };
    while (!heap_.empty()) {
        const uint64_t entry = heap_.front();
        std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
        heap_.pop_back();
        const auto at = static_cast<uint32_t>(entry);
        Symbol& symbol = symbols_[at];
        if (symbol.rank != static_cast<uint32_t>(entry >> 32)) {
            continue;  // merged since, or its neighbour was: the pair that was ranked is gone
        }
        const uint32_t next = symbol.next;
        if (steps != nullptr) {
            steps->push_back({at, symbol.id, symbols_[next].id, symbol.product, symbol.rank});
        }
        symbol.id = symbol.product;
        symbol.next = symbols_[next].next;
        symbols_[next].rank = kNoRank;
        if (symbol.next != kNoSymbol) {
            symbols_[symbol.next].previous = at;
        }
        update(at);
        if (at > 0) {
            update(symbol.previous);
        }
    }
    for (uint32_t i = 0; i != kNoSymbol; i = symbols_[i].next) {
        ids.push_back(symbols_[i].id);
    }
    if (symbols_.capacity() > (size_t{1} << 16)) {
        symbols_ = {};  // a long piece is rare, and its scratch space is not kept
        heap_ = {};
    }
}

std::array<uint64_t, 2> WordCache::key_of(std::string_view piece) {
    std::array<uint64_t, 2> key{};
    std::memcpy(key.data(), piece.data(), piece.size());
    key[1] |= uint64_t{piece.size()} << 56;
    return key;
}

size_t WordCache::hash(const std::array<uint64_t, 2>& key) {
    const uint64_t mixed = (key[0] ^ (key[1] * 0x9E3779B97F4A7C15)) * 0xD6E8FEB86659FD93;
    return static_cast<size_t>(mixed >> 40);
}

struct Encoder::Worker {
    explicit Worker(const Vocab& vocab) : merger(vocab.byte_tokens(), vocab.pairs()) {}
    PieceMerger merger;
    WordCache cache;
};

// A worker for the time of a call: an idle one, or a new one.
class Encoder::Lease {
  public:
    explicit Lease(const Encoder& encoder) : encoder_(encoder) {
        for (auto& slot : encoder.idle_workers_) {
            worker_.reset(slot.exchange(nullptr, std::memory_order_acquire));
            if (worker_) {
                return;
            }
        }
        worker_ = std::make_unique<Worker>(encoder.vocab_);
    }

    ~Lease() {
        for (auto& slot : encoder_.idle_workers_) {
            Worker* empty = nullptr;
            if (slot.compare_exchange_strong(empty, worker_.get(), std::memory_order_release)) {
                static_cast<void>(worker_.release());
                return;
            }
        }
    }

    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    Worker& operator*() { return *worker_; }

  private:
    const Encoder& encoder_;
    std::unique_ptr<Worker> worker_;
};

Encoder::Encoder(std::shared_ptr<const Splitter> splitter, Vocab vocab)
    : splitter_(std::move(splitter)), vocab_(std::move(vocab)) {}

Encoder::~Encoder() {
    for (auto& slot : idle_workers_) {
        delete slot.load();
    }
}

void Encoder::encode_piece(std::string_view piece, Worker& worker, std::vector<TokenId>& ids) const {
    if (vocab_.whole_pieces()) {
        const TokenId whole = vocab_.whole_piece(piece);
        if (whole != kNoToken) {
            ids.push_back(whole);
            return;
        }
    }
    worker.merger.append(piece, ids);
}

void Encoder::encode_into(std::string_view text, Worker& worker, std::vector<TokenId>& ids) const {
    Scanner scanner(*splitter_, text);
    Piece range{};
    while (scanner.next(range)) {
        const std::string_view piece = text.substr(range.begin, range.end - range.begin);
        if (piece.size() == 1) {
            ids.push_back(vocab_.byte_tokens()[static_cast<uint8_t>(piece[0])]);
            continue;
        }
        if (piece.size() > WordCache::kMaxBytes) {
            encode_piece(piece, worker, ids);
            continue;
        }
        const std::array<uint64_t, 2> key = WordCache::key_of(piece);
        WordCache::Entry& entry = worker.cache.entry_of(key);
        if (entry.key == key) {
            ids.insert(ids.end(), entry.ids.begin(), entry.ids.begin() + entry.num_tokens);
            continue;
        }
        const size_t begin = ids.size();
        encode_piece(piece, worker, ids);
        const size_t num_tokens = ids.size() - begin;
        if (num_tokens <= WordCache::kMaxTokens) {
            entry.key = key;
            entry.num_tokens = static_cast<uint32_t>(num_tokens);
            std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(begin), num_tokens, entry.ids.begin());
        }
    }
}

std::vector<TokenId> Encoder::encode(std::string_view text) const {
    std::vector<TokenId> ids;
    ids.reserve(text.size() / 3 + 16);
    Lease lease(*this);
    encode_into(text, *lease, ids);
    return ids;
}

size_t Encoder::count(std::string_view text) const {
    Lease lease(*this);
    std::vector<TokenId> ids;
    size_t num_tokens = 0;
    while (!text.empty()) {
        const size_t cut = text.size() > kTaskBytes ? splitter_->next_safe_cut(text, kTaskBytes) : text.size();
        ids.clear();
        encode_into(text.substr(0, cut), *lease, ids);
        num_tokens += ids.size();
        text.remove_prefix(cut);
    }
    return num_tokens;
}

EncodedBatch Encoder::encode_batch(std::span<const std::string_view> texts, unsigned num_threads) const {
    struct TaskResult {
        std::vector<TokenId> ids;
        std::vector<size_t> tokens_of_part;
    };
    const std::vector<Task> tasks = cut_into_tasks(*splitter_, texts, kTaskBytes);
    std::vector<TaskResult> results(tasks.size());
    const unsigned threads = threads_for(num_threads, tasks.size());
    std::vector<std::unique_ptr<Lease>> leases;
    for (unsigned thread = 0; thread < threads; ++thread) {
        leases.push_back(std::make_unique<Lease>(*this));
    }
    run_tasks(tasks.size(), threads, [&](size_t task, unsigned thread) {
        TaskResult& result = results[task];
        for (const TextPart& part : tasks[task]) {
            const size_t begin = result.ids.size();
            encode_into(part.bytes, **leases[thread], result.ids);
            result.tokens_of_part.push_back(result.ids.size() - begin);
        }
    });

    EncodedBatch batch;
    size_t num_tokens = 0;
    for (const TaskResult& result : results) {
        num_tokens += result.ids.size();
    }
    batch.ids.reserve(num_tokens);
    batch.offsets.assign(texts.size() + 1, 0);
    for (size_t task = 0; task < tasks.size(); ++task) {
        for (size_t part = 0; part < tasks[task].size(); ++part) {
            batch.offsets[tasks[task][part].text + 1] += static_cast<int64_t>(results[task].tokens_of_part[part]);
        }
        batch.ids.insert(batch.ids.end(), results[task].ids.begin(), results[task].ids.end());
        results[task] = {};
    }
    for (size_t text = 0; text < texts.size(); ++text) {
        batch.offsets[text + 1] += batch.offsets[text];
    }
    return batch;
}

std::pair<std::vector<MergeStep>, std::vector<TokenId>> Encoder::trace(std::string_view piece) const {
    Lease lease(*this);
    std::vector<MergeStep> steps;
    std::vector<TokenId> ids;
    const TokenId whole = vocab_.whole_pieces() ? vocab_.whole_piece(piece) : kNoToken;
    if (whole != kNoToken) {
        ids.push_back(whole);
    } else {
        (*lease).merger.append(piece, ids, &steps);
    }
    return {std::move(steps), std::move(ids)};
}

}  // namespace textmill::tokenizer
