#include "tokenizer/encode.h"

#include <algorithm>
#include <cstring>

#include "tokenizer/encode_worker.h"
#include "tokenizer/parallel.h"
#include "tokenizer/piece_ends.h"
#include "tokenizer/text_pack.h"

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
        worker_ = std::make_unique<EncodeWorker>(encoder.vocab_);
    }

    ~Lease() {
        worker_->release_scratch();
        for (auto& slot : encoder_.idle_workers_) {
            EncodeWorker* empty = nullptr;
            if (slot.compare_exchange_strong(empty, worker_.get(), std::memory_order_release)) {
                static_cast<void>(worker_.release());
                return;
            }
        }
    }

    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    EncodeWorker* operator->() { return worker_.get(); }
    EncodeWorker& operator*() { return *worker_; }

  private:
    const Encoder& encoder_;
    std::unique_ptr<EncodeWorker> worker_;
};

Encoder::Encoder(std::shared_ptr<const Splitter> splitter, Vocab vocab)
    : splitter_(std::move(splitter)), vocab_(std::move(vocab)) {}

Encoder::~Encoder() {
    for (auto& slot : idle_workers_) {
        delete slot.load();
    }
}

void Encoder::encode_into(std::string_view text, EncodeWorker& worker, TokenBuffer& ids) const {
    PieceEnds pieces(*splitter_, text);
    while (pieces.next()) {
        TokenId* const begin = ids.reserve(pieces.ends().back() + EncodeWorker::kSpareIds);
        ids.take_until(worker.encode_pieces(text.substr(pieces.begin()), 0, pieces.ends(), begin));
    }
}

void Encoder::encode_pack(const TextPack& pack, EncodeWorker& worker, TokenBuffer& ids,
                          const std::function<void()>& at_end) const {
    TokenId* id = ids.reserve(pack.bytes().size() + EncodeWorker::kSpareIds);
    auto text_end = pack.text_ends().begin();
    size_t begin = 0;
    for (size_t first = 0; first < pack.ends().size();) {
        const auto ends = pack.ends().subspan(first, std::min(PieceEnds::kMaxEnds, pack.ends().size() - first));
        worker.look_up(pack.bytes(), TextPack::kPadding, begin, ends);
        size_t place = 0;
        for (; text_end != pack.text_ends().end() && *text_end <= first + ends.size(); ++text_end) {
            id = worker.write(place, *text_end - first, id);
            place = *text_end - first;
            ids.take_until(id);
            at_end();
        }
        id = worker.write(place, ends.size(), id);
        begin = ends.back();
        first += ends.size();
    }
    ids.take_until(id);
    std::for_each(text_end, pack.text_ends().end(), [&](size_t) { at_end(); });  // empty ones
}

void Encoder::encode_texts(size_t num_texts, const std::function<std::string_view(size_t)>& text_at,
                           EncodeWorker& worker, TokenBuffer& ids, const std::function<void()>& at_end) const {
    TextPack pack(*splitter_);
    const auto encode_packed = [&] {
        encode_pack(pack, worker, ids, at_end);
        pack.clear();
    };
    for (size_t i = 0; i < num_texts; ++i) {
        const std::string_view text = text_at(i);
        const bool is_packed = text.size() <= TextPack::kMaxText;
        if (!pack.is_empty() && (!is_packed || !pack.has_room(text))) {
            encode_packed();
        }
        if (is_packed) {
            pack.add(text);
        } else {
            encode_into(text, worker, ids);
            at_end();
        }
    }
    encode_packed();
}

void Encoder::encode(std::string_view text, TokenBuffer& ids) const {
    Lease lease(*this);
    lease->prepare(text.size());
    encode_into(text, *lease, ids);
}

// A copy with room after it spares every piece the question whether its key may be read in one go.
TokenId* Encoder::encode_short(std::string_view text, ShortIds& ids) const {
    constexpr size_t kPadding = 64;
    std::array<char, kMaxShortText + kPadding> padded;
    std::memcpy(padded.data(), text.data(), text.size());
    std::memset(padded.data() + text.size(), 0, kPadding);
    Lease lease(*this);
    PieceEnds pieces(*splitter_, {padded.data(), text.size()}, kPadding);
    TokenId* end = ids.data();
    while (pieces.next()) {
        const std::string_view rest(padded.data() + pieces.begin(), text.size() - pieces.begin());
        end = lease->encode_pieces(rest, kPadding, pieces.ends(), end);
    }
    return end;
}

size_t Encoder::count(std::string_view text) const {
    Lease lease(*this);
    TokenBuffer& ids = lease->scratch;
    size_t num_tokens = 0;
    PieceEnds pieces(*splitter_, text);
    while (pieces.next()) {
        TokenId* const begin = ids.reserve(pieces.ends().back() + EncodeWorker::kSpareIds);
        num_tokens +=
            static_cast<size_t>(lease->encode_pieces(text.substr(pieces.begin()), 0, pieces.ends(), begin) - begin);
    }
    return num_tokens;
}

Encoder::Head Encoder::head(std::string_view text, size_t max_tokens) const {
    Lease lease(*this);
    TokenBuffer& ids = lease->scratch;
    Head head{0, 0};
    PieceEnds pieces(*splitter_, text);
    while (pieces.next()) {
        TokenId* id = ids.reserve(pieces.ends().back() + EncodeWorker::kSpareIds);
        const TokenId* const end = lease->encode_pieces(text.substr(pieces.begin()), 0, pieces.ends(), id);
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
    lease->prepare(bytes_of(texts));
    encode_texts(
        texts.size(), [&](size_t i) { return texts[i]; }, *lease, batch.ids,
        [&] { batch.offsets.push_back(static_cast<int64_t>(batch.ids.size())); });
    return batch;
}

// The ids of tasks where threads left them.
struct Encoder::Parts {
    struct TaskIds {
        unsigned thread;
        size_t begin;  // in the thread's ids
        size_t end;
        std::vector<size_t> tokens_of_part;
    };
    std::vector<Task> tasks;
    std::vector<TaskIds> ids_of_task;
    std::vector<TokenBuffer> ids_of_thread;

    unsigned num_threads() const { return static_cast<unsigned>(ids_of_thread.size()); }

    // The ids of each text.
    std::vector<int64_t> lengths(size_t num_texts) const {
        std::vector<int64_t> lengths(num_texts, 0);
        for (size_t task = 0; task < tasks.size(); ++task) {
            for (size_t part = 0; part < tasks[task].size(); ++part) {
                lengths[tasks[task][part].text] += static_cast<int64_t>(ids_of_task[task].tokens_of_part[part]);
            }
        }
        return lengths;
    }

    size_t num_ids(size_t task) const { return ids_of_task[task].end - ids_of_task[task].begin; }
    const TokenId* ids(size_t task) const {
        return ids_of_thread[ids_of_task[task].thread].data() + ids_of_task[task].begin;
    }
};

Encoder::Parts Encoder::encode_parts(std::vector<Task> tasks, std::span<const std::string_view> texts,
                                     unsigned threads) const {
    Parts parts{std::move(tasks), {}, {}};
    parts.ids_of_task.resize(parts.tasks.size());
    parts.ids_of_thread.resize(threads);
    std::vector<std::unique_ptr<Lease>> leases;
    for (unsigned thread = 0; thread < threads; ++thread) {
        leases.push_back(std::make_unique<Lease>(*this));
        (*leases[thread])->prepare(bytes_of(texts) / threads);
        parts.ids_of_thread[thread].reserve(likely_tokens(bytes_of(texts) / threads));
    }
    run_tasks(parts.tasks.size(), threads, [&](size_t task, unsigned thread) {
        TokenBuffer& ids = parts.ids_of_thread[thread];
        Parts::TaskIds& result = parts.ids_of_task[task];
        result.thread = thread;
        result.begin = ids.size();
        result.end = ids.size();
        encode_texts(
            parts.tasks[task].size(), [&](size_t i) { return parts.tasks[task][i].bytes; }, **leases[thread], ids,
            [&] {
                result.tokens_of_part.push_back(ids.size() - result.end);
                result.end = ids.size();
            });
    });
    return parts;
}

EncodedBatch Encoder::encode_batch(std::span<const std::string_view> texts, unsigned num_threads) const {
    std::vector<Task> tasks = cut_into_tasks(*splitter_, texts, kTaskBytes);
    const unsigned threads = threads_for(num_threads, tasks.size());
    if (threads == 1) {
        return encode_on_one_thread(texts);
    }
    const Parts parts = encode_parts(std::move(tasks), texts, threads);
    EncodedBatch batch;
    batch.offsets.push_back(0);
    for (const int64_t length : parts.lengths(texts.size())) {
        batch.offsets.push_back(batch.offsets.back() + length);
    }
    std::vector<size_t> begins(parts.tasks.size() + 1, 0);
    for (size_t task = 0; task < parts.tasks.size(); ++task) {
        begins[task + 1] = begins[task] + parts.num_ids(task);
    }
    TokenId* const ids = batch.ids.reserve(begins.back());
    run_tasks(parts.tasks.size(), parts.num_threads(),
              [&](size_t task, unsigned) { std::copy_n(parts.ids(task), parts.num_ids(task), ids + begins[task]); });
    batch.ids.take_until(ids + begins.back());
    return batch;
}

template <typename Id>
EncodedDocuments<Id> Encoder::encode_documents(std::span<const std::string_view> texts, Id end,
                                               unsigned num_threads) const {
    std::vector<Task> tasks = cut_into_tasks(*splitter_, texts, kTaskBytes);
    const unsigned threads = threads_for(num_threads, tasks.size());
    const Parts parts = encode_parts(std::move(tasks), texts, threads);
    EncodedDocuments<Id> documents{{}, parts.lengths(texts.size())};
    for (int64_t& length : documents.lengths) {
        ++length;
    }
    // Where a task's first id goes: behind those of all tasks before it, and the ends of all texts before its own.
    std::vector<size_t> begins(parts.tasks.size() + 1, 0);
    for (size_t task = 0; task < parts.tasks.size(); ++task) {
        begins[task + 1] = begins[task] + parts.num_ids(task);
    }
    documents.ids.resize(begins.back() + texts.size());
    run_tasks(parts.tasks.size(), parts.num_threads(), [&](size_t task, unsigned) {
        const TokenId* from = parts.ids(task);
        size_t text = parts.tasks[task].front().text;
        Id* to = documents.ids.data() + begins[task] + text;
        for (size_t part = 0; part < parts.tasks[task].size(); ++part) {
            if (parts.tasks[task][part].text != text) {
                *to++ = end;
                text = parts.tasks[task][part].text;
            }
            const size_t num_ids = parts.ids_of_task[task].tokens_of_part[part];
            to = std::transform(from, from + num_ids, to, [](TokenId id) { return static_cast<Id>(id); });
            from += num_ids;
        }
        const bool ends_text = task + 1 == parts.tasks.size() || parts.tasks[task + 1].front().text != text;
        if (ends_text) {
            *to = end;
        }
    });
    return documents;
}

template EncodedDocuments<uint16_t> Encoder::encode_documents(std::span<const std::string_view>, uint16_t,
                                                              unsigned) const;
template EncodedDocuments<uint32_t> Encoder::encode_documents(std::span<const std::string_view>, uint32_t,
                                                              unsigned) const;

std::pair<std::vector<MergeStep>, std::vector<TokenId>> Encoder::trace(std::string_view piece) const {
    Lease lease(*this);
    std::vector<MergeStep> steps;
    std::vector<TokenId> ids(piece.size());
    ids.resize(static_cast<size_t>(lease->pieces().encode(piece, ids.data(), &steps) - ids.data()));
    return {std::move(steps), std::move(ids)};
}

}  // namespace textmill::tokenizer
