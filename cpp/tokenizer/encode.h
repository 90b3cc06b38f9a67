// From text to token ids: pieces, most of which are remembered and the others merged.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/parallel.h"
#include "tokenizer/piece_merger.h"
#include "tokenizer/scanner.h"
#include "tokenizer/token_buffer.h"
#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

// Token ids of several texts: those of text i are ids[offsets[i]] to ids[offsets[i + 1]].
struct EncodedBatch {
    TokenBuffer ids;
    std::vector<int64_t> offsets;
};

// The same as they stand in a shard: behind each text an id that ends it. uint16_t where the vocabulary allows.
template <typename Id>
struct EncodedDocuments {
    std::vector<Id> ids;
    std::vector<int64_t> lengths;  // of each text, its end included
};

class EncodeWorker;
class TextPack;

// Encodes ordinary text; it never makes a special token. Immutable to its users and safe to share between threads.
class Encoder {
  public:
    Encoder(std::shared_ptr<const Splitter> splitter, Vocab vocab);
    ~Encoder();
    Encoder(const Encoder&) = delete;
    Encoder& operator=(const Encoder&) = delete;

    const Vocab& vocab() const { return vocab_; }
    const Splitter& splitter() const { return *splitter_; }

    // Appends the ids of a text.
    void encode(std::string_view text, TokenBuffer& ids) const;

    // Writes the ids of a text of at most kMaxShortText bytes, and returns where they end. It takes no memory.
    static constexpr size_t kMaxShortText = 128;
    using ShortIds = std::array<TokenId, kMaxShortText + 4>;
    TokenId* encode_short(std::string_view text, ShortIds& ids) const;

    size_t count(std::string_view text) const;

    // The bytes of the first `max_tokens` tokens, and how many tokens these are: fewer where the text has no more. Only
    // as much of the text is encoded as they need, where the pattern can be cut.
    struct Head {
        size_t num_bytes;
        size_t num_tokens;
    };
    Head head(std::string_view text, size_t max_tokens) const;

    // The ids do not depend on the number of threads. Zero threads are one for each core.
    EncodedBatch encode_batch(std::span<const std::string_view> texts, unsigned num_threads) const;

    // The same, `end` behind each text. Id is uint16_t or uint32_t, and every id of the vocabulary must fit.
    template <typename Id>
    EncodedDocuments<Id> encode_documents(std::span<const std::string_view> texts, Id end, unsigned num_threads) const;

    // How one piece is merged: the steps, and the ids it ends in.
    std::pair<std::vector<MergeStep>, std::vector<TokenId>> trace(std::string_view piece) const;

  private:
    class Lease;
    struct Parts;

    void encode_into(std::string_view text, EncodeWorker& worker, TokenBuffer& ids) const;
    void encode_pack(const TextPack& pack, EncodeWorker& worker, TokenBuffer& ids,
                     const std::function<void()>& at_end) const;
    // Calls at_end() after each text.
    void encode_texts(size_t num_texts, const std::function<std::string_view(size_t)>& text_at, EncodeWorker& worker,
                      TokenBuffer& ids, const std::function<void()>& at_end) const;
    size_t end_of_dropped(std::string_view text, size_t at) const;
    size_t end_of_token(std::string_view text, size_t at, TokenId id) const;
    EncodedBatch encode_on_one_thread(std::span<const std::string_view> texts) const;
    Parts encode_parts(std::vector<Task> tasks, std::span<const std::string_view> texts, unsigned threads) const;

    static constexpr size_t kMaxIdleWorkers = 16;

    const std::shared_ptr<const Splitter> splitter_;
    const Vocab vocab_;
    // Workers between two calls, so that the second finds the words of the first. Taken and put back without a lock:
    // a process that forks in the middle of a call loses a worker and not its child.
    mutable std::array<std::atomic<EncodeWorker*>, kMaxIdleWorkers> idle_workers_{};
};

}  // namespace textmill::tokenizer
