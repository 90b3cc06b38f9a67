// From text to token ids: pieces from the scanner, merged one at a time, with the common ones remembered.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tokenizer/scanner.h"
#include "tokenizer/vocab.h"

namespace textmill::tokenizer {

// One merge on the way from the bytes of a piece to its tokens.
struct MergeStep {
    uint32_t at;  // first byte of the product inside the piece
    TokenId left;
    TokenId right;
    TokenId product;
    uint32_t rank;
};

// Merges the bytes of one piece: the pair of lowest rank first, the leftmost of equals. Holds scratch space, so that
// each thread has its own.
class PieceMerger {
  public:
    PieceMerger(const std::array<TokenId, 256>& byte_tokens, const PairTable& pairs)
        : byte_tokens_(byte_tokens), pairs_(pairs) {}

    // Appends the tokens of a piece; `steps`, where given, gets each merge in the order in which it is made.
    void append(std::string_view piece, std::vector<TokenId>& ids, std::vector<MergeStep>* steps = nullptr);

  private:
    struct Symbol {
        TokenId id;
        uint32_t rank;    // of the merge with the next symbol, kNoRank where there is none
        TokenId product;  // of that merge
        uint32_t previous;
        uint32_t next;
    };

    void append_short(std::string_view piece, std::vector<TokenId>& ids, std::vector<MergeStep>* steps);
    void append_long(std::string_view piece, std::vector<TokenId>& ids, std::vector<MergeStep>* steps);
    void rank_pair(uint32_t at);

    const std::array<TokenId, 256>& byte_tokens_;
    const PairTable& pairs_;
    std::vector<Symbol> symbols_;
    std::vector<uint64_t> heap_;  // rank << 32 | place; stale entries are dropped when they surface
};

// Remembers the tokens of short pieces. Direct-mapped and of one size, 1 MB: a new piece takes the place of an old one.
class WordCache {
  public:
    static constexpr size_t kMaxBytes = 15;
    static constexpr size_t kMaxTokens = 11;

    struct Entry {
        std::array<uint64_t, 2> key;  // the bytes, and their number in the last one
        uint32_t num_tokens;
        std::array<TokenId, kMaxTokens> ids;
    };

    WordCache() : entries_(kNumEntries) {}

    // The entry that a piece of 1 to kMaxBytes bytes has or may take.
    Entry& entry_of(const std::array<uint64_t, 2>& key) { return entries_[hash(key) & (kNumEntries - 1)]; }

    static std::array<uint64_t, 2> key_of(std::string_view piece);

  private:
    static constexpr size_t kNumEntries = size_t{1} << 14;
    static size_t hash(const std::array<uint64_t, 2>& key);

    std::vector<Entry> entries_;
};

// Token ids of several texts: those of text i are ids[offsets[i]] to ids[offsets[i + 1]].
struct EncodedBatch {
    std::vector<TokenId> ids;
    std::vector<int64_t> offsets;
};

// Encodes ordinary text; it never makes a special token. Immutable to its users and safe to share between threads.
class Encoder {
  public:
    Encoder(std::shared_ptr<const Splitter> splitter, Vocab vocab);
    ~Encoder();
    Encoder(const Encoder&) = delete;
    Encoder& operator=(const Encoder&) = delete;

    const Vocab& vocab() const { return vocab_; }
    const Splitter& splitter() const { return *splitter_; }

    std::vector<TokenId> encode(std::string_view text) const;
    size_t count(std::string_view text) const;

    // The ids do not depend on the number of threads. Zero threads are one for each core.
    EncodedBatch encode_batch(std::span<const std::string_view> texts, unsigned num_threads) const;

    // How one piece is merged: the steps, and the ids it ends in.
    std::pair<std::vector<MergeStep>, std::vector<TokenId>> trace(std::string_view piece) const;

  private:
    struct Worker;
    class Lease;

    void encode_into(std::string_view text, Worker& worker, std::vector<TokenId>& ids) const;
    void encode_piece(std::string_view piece, Worker& worker, std::vector<TokenId>& ids) const;

    static constexpr size_t kMaxIdleWorkers = 16;

    const std::shared_ptr<const Splitter> splitter_;
    const Vocab vocab_;
    // Workers between two calls, so that the second finds the words of the first. Taken and put back without a lock:
    // a process that forks in the middle of a call loses a worker and not its child.
    mutable std::array<std::atomic<Worker*>, kMaxIdleWorkers> idle_workers_{};
};

}  // namespace textmill::tokenizer
