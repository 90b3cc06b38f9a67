#include "tokenizer/encode.h"

#include <algorithm>
#include <cstring>

#include "tokenizer/parallel.h"
#include "tokenizer/piece_ends.h"
#include "tokenizer/word_cache.h"

namespace textmill::tokenizer {
namespace {

constexpr size_t kTaskBytes = size_t{1} << 18;

size_t bytes_of(std::span<const std::string_view> texts) {
    size_t num_bytes = 0;
    for (const std::string_view text : texts) {
        num_bytes += text.size();
    }
    return num_bytes;
}

// More than most texts need: only what is touched takes memory, and growing would move it.
size_t likely_tokens(size_t num_bytes) {
    return num_bytes / 2;
}

}  // namespace

struct Encoder::Worker {
    explicit Worker(const Vocab& vocab)
        : pieces(vocab),
          grams(vocab.grams()),
          // Bytes that are dropped bring others together, and a part is not looked up as a whole piece is.
          may_cut(!vocab.whole_pieces() && std::find(vocab.byte_tokens().begin(), vocab.byte_tokens().end(),
                                                     kNoToken) == vocab.byte_tokens().end()) {}

    TokenId* encode_unknown(std::string_view piece, TokenId* ids);
    TokenId* encode_part(std::string_view part, TokenId* ids);

    PieceEncoder pieces;
    WordCache cache;
    TokenBuffer scratch;
    const TokenGrams& grams;
    const bool may_cut;
};

// A piece that is not remembered as a whole. Before a character outside ASCII that no token reaches across, it is cut:
// most of its parts are known.
TokenId* Encoder::Worker::encode_unknown(std::string_view piece, TokenId* ids) {
    constexpr auto kFirstLead = uint8_t{0xC2};
    size_t begin = 0;
    for (size_t at = 1; may_cut && at < piece.size(); ++at) {
        if (static_cast<uint8_t>(piece[at]) >= kFirstLead && !grams.may_cross(piece, at)) {
            ids = encode_part(piece.substr(begin, at - begin), ids);
            begin = at;
        }
    }
    return begin == 0 ? pieces.encode(piece, ids) : encode_part(piece.substr(begin), ids);
}

TokenId* Encoder::Worker::encode_part(std::string_view part, TokenId* ids) {
    if (part.size() > WordCache::kMaxKeyBytes) {
        return pieces.encode(part, ids);
    }
    const WordCache::Key key = WordCache::short_key(part.data(), part.size(), part.data() + part.size());
    const uint64_t hash = WordCache::hash(key);
    if (TokenId* const end = cache.find(key, hash, part, ids)) {
        return end;
    }
    TokenId* const end = pieces.encode(part, ids);
    cache.add(key, part, {ids, end});
    return end;
}

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

// Two passes: the first asks for the cache lines that the second reads, so that it waits for few of them.
TokenId* Encoder::encode_pieces(std::string_view text, size_t num_padding, std::span<const uint32_t> ends,
                                Worker& worker, TokenId* ids) const {
    struct Lookup {
        WordCache::Key key;
        uint64_t hash;
    };
    std::array<Lookup, PieceEnds::kMaxEnds> lookups;
    const char* const readable_end = text.data() + text.size() + num_padding;
    size_t begin = 0;
    for (size_t i = 0; i < ends.size(); ++i) {
        const char* const piece = text.data() + begin;
        const size_t num_bytes = ends[i] - begin;
        begin = ends[i];
        if (num_bytes <= WordCache::kMaxKeyBytes) {
            lookups[i].key = WordCache::short_key(piece, num_bytes, readable_end);
        } else if (num_bytes <= WordCache::kMaxBytes) {
            lookups[i].key = WordCache::long_key({piece, num_bytes});
        } else {
            continue;
        }
        lookups[i].hash = WordCache::hash(lookups[i].key);
        worker.cache.prefetch(lookups[i].hash);
    }
    begin = 0;
    for (size_t i = 0; i < ends.size(); ++i) {
        const std::string_view piece(text.data() + begin, ends[i] - begin);
        begin = ends[i];
        if (piece.size() > WordCache::kMaxBytes) {
            ids = worker.encode_unknown(piece, ids);
            continue;
        }
        TokenId* const known_end = worker.cache.find(lookups[i].key, lookups[i].hash, piece, ids);
        if (known_end != nullptr) {
            ids = known_end;
            continue;
        }
        TokenId* const end = worker.encode_unknown(piece, ids);
        worker.cache.add(lookups[i].key, piece, {ids, end});
        ids = end;
    }
    return ids;
}

void Encoder::encode_into(std::string_view text, Worker& worker, TokenBuffer& ids) const {
    PieceEnds pieces(*splitter_, text);
    while (pieces.next()) {
        TokenId* const begin = ids.reserve(pieces.ends().back() + WordCache::kMaxInline);
        ids.take_until(encode_pieces(text.substr(pieces.begin()), 0, pieces.ends(), worker, begin));
    }
}

void Encoder::encode(std::string_view text, TokenBuffer& ids) const {
    Lease lease(*this);
    (*lease).cache.prepare(text.size());
    encode_into(text, *lease, ids);
}

// A copy with room after it spares every piece the question whether its key may be read in one go.
TokenId* Encoder::encode_short(std::string_view text, ShortIds& ids) const {
    constexpr size_t kPadding = 64;
    std::array<char, kMaxShortText + kPadding> padded{};
    std::memcpy(padded.data(), text.data(), text.size());
    Lease lease(*this);
    PieceEnds pieces(*splitter_, {padded.data(), text.size()}, kPadding);
    TokenId* end = ids.data();
    while (pieces.next()) {
        const std::string_view rest(padded.data() + pieces.begin(), text.size() - pieces.begin());
        end = encode_pieces(rest, kPadding, pieces.ends(), *lease, end);
    }
    return end;
}

size_t Encoder::count(std::string_view text) const {
    Lease lease(*this);
    TokenBuffer& ids = (*lease).scratch;
    size_t num_tokens = 0;
    PieceEnds pieces(*splitter_, text);
    while (pieces.next()) {
        TokenId* const begin = ids.reserve(pieces.ends().back() + WordCache::kMaxInline);
        num_tokens +=
            static_cast<size_t>(encode_pieces(text.substr(pieces.begin()), 0, pieces.ends(), *lease, begin) - begin);
    }
    return num_tokens;
}

Encoder::Head Encoder::head(std::string_view text, size_t max_tokens) const {
    Lease lease(*this);
    TokenBuffer& ids = (*lease).scratch;
    Head head{0, 0};
    PieceEnds pieces(*splitter_, text);
    while (pieces.next()) {
        TokenId* id = ids.reserve(pieces.ends().back() + WordCache::kMaxInline);
        const TokenId* const end = encode_pieces(text.substr(pieces.begin()), 0, pieces.ends(), *lease, id);
        if (static_cast<size_t>(end - id) <= max_tokens - head.num_tokens) {
            head = {pieces.begin() + pieces.ends().back(), head.num_tokens + static_cast<size_t>(end - id)};
            continue;
        }
        for (; head.num_tokens < max_tokens; ++head.num_tokens) {
            head.num_bytes = end_of_token(text, head.num_bytes, *id++);
        }
        // Bytes that are dropped belong to the token before them, and at the start to the first one.
        head.num_bytes = head.num_tokens == 0 ? 0 : end_of_dropped(text, head.num_bytes);
        break;
    }
    return head;
}

size_t Encoder::end_of_dropped(std::string_view text, size_t at) const {
    while (at < text.size() && vocab_.byte_tokens()[static_cast<uint8_t>(text[at])] == kNoToken) {
        ++at;
    }
    return at;
}

size_t Encoder::end_of_token(std::string_view text, size_t at, TokenId id) const {
    for (size_t num_left = vocab_.bytes_of(id).size(); num_left > 0; --num_left) {
        at = end_of_dropped(text, at) + 1;
    }
    return at;
}

EncodedBatch Encoder::encode_on_one_thread(std::span<const std::string_view> texts) const {
    EncodedBatch batch;
    batch.offsets.reserve(texts.size() + 1);
    batch.offsets.push_back(0);
    batch.ids.reserve(likely_tokens(bytes_of(texts)));
    Lease lease(*this);
    (*lease).cache.prepare(bytes_of(texts));
    for (const std::string_view text : texts) {
        encode_into(text, *lease, batch.ids);
        batch.offsets.push_back(static_cast<int64_t>(batch.ids.size()));
    }
    return batch;
}

EncodedBatch Encoder::encode_batch(std::span<const std::string_view> texts, unsigned num_threads) const {
    const std::vector<Task> tasks = cut_into_tasks(*splitter_, texts, kTaskBytes);
    const unsigned threads = threads_for(num_threads, tasks.size());
    if (threads == 1) {
        return encode_on_one_thread(texts);
    }
    struct TaskResult {
        unsigned thread;
        size_t begin;  // in the thread's ids
        size_t end;
        std::vector<size_t> tokens_of_part;
    };
    std::vector<TaskResult> results(tasks.size());
    std::vector<TokenBuffer> ids_of_thread(threads);
    std::vector<std::unique_ptr<Lease>> leases;
    for (unsigned thread = 0; thread < threads; ++thread) {
        leases.push_back(std::make_unique<Lease>(*this));
        (**leases[thread]).cache.prepare(bytes_of(texts) / threads);
        ids_of_thread[thread].reserve(likely_tokens(bytes_of(texts) / threads));
    }
    run_tasks(tasks.size(), threads, [&](size_t task, unsigned thread) {
        TokenBuffer& ids = ids_of_thread[thread];
        TaskResult& result = results[task];
        result.thread = thread;
        result.begin = ids.size();
        for (const TextPart& part : tasks[task]) {
            const size_t begin = ids.size();
            encode_into(part.bytes, **leases[thread], ids);
            result.tokens_of_part.push_back(ids.size() - begin);
        }
        result.end = ids.size();
    });

    EncodedBatch batch;
    batch.offsets.assign(texts.size() + 1, 0);
    std::vector<size_t> begins(tasks.size() + 1, 0);
    for (size_t task = 0; task < tasks.size(); ++task) {
        begins[task + 1] = begins[task] + results[task].end - results[task].begin;
        for (size_t part = 0; part < tasks[task].size(); ++part) {
            batch.offsets[tasks[task][part].text + 1] += static_cast<int64_t>(results[task].tokens_of_part[part]);
        }
    }
    for (size_t text = 0; text < texts.size(); ++text) {
        batch.offsets[text + 1] += batch.offsets[text];
    }
    TokenId* const ids = batch.ids.reserve(begins.back());
    run_tasks(tasks.size(), threads, [&](size_t task, unsigned) {
        const TaskResult& result = results[task];
        const TokenId* const from = ids_of_thread[result.thread].data();
        std::copy(from + result.begin, from + result.end, ids + begins[task]);
    });
    batch.ids.take_until(ids + begins.back());
    return batch;
}

std::pair<std::vector<MergeStep>, std::vector<TokenId>> Encoder::trace(std::string_view piece) const {
    Lease lease(*this);
    std::vector<MergeStep> steps;
    std::vector<TokenId> ids(piece.size());
    ids.resize(static_cast<size_t>((*lease).pieces.encode(piece, ids.data(), &steps) - ids.data()));
    return {std::move(steps), std::move(ids)};
}

}  // namespace textmill::tokenizer
