// Remembers the tokens of pieces, so that most of a text is looked up and not merged.
//
// Buckets of two in one cache line; where one is full, the one beside it helps out. A piece of up to 15 bytes is its
// own key, so that one comparison settles a lookup; a longer one has a hash for a key, and its bytes are compared too.
// Grows with what it holds, up to 32 MB of buckets and 64 MB beside them; then new pieces take the places of old ones.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/token_buffer.h"

namespace textmill::tokenizer {

class WordCache {
  public:
    // Pieces of more bytes are not remembered.
    static constexpr size_t kMaxBytes = 127;
    static constexpr size_t kMaxKeyBytes = 15;
    static constexpr size_t kMaxInline = 4;

    struct Key {
        uint64_t low;
        uint64_t high;  // of a short piece: the number of its bytes in the last one
        bool operator==(const Key&) const = default;
    };

    struct Entry {
        Key key;
        // Up to four tokens, their number in the top byte of the first (ids are below 2^24). More of them, and those of
        // long pieces, stand in stored_: then the byte is kStored, and the others say where.
        std::array<TokenId, kMaxInline> ids;
    };

    WordCache();

    // Makes room for the pieces of a long text before they come: growing on the way would move them several times.
    void prepare(size_t num_bytes);

    // The key of a piece of 1 to kMaxKeyBytes bytes; `end` is behind the last byte that may be read.
    static Key short_key(const char* piece, size_t num_bytes, const char* end);
    static Key long_key(std::string_view piece);

    static uint64_t hash(const Key& key) { return (key.low * 0x9E3779B97F4A7C15) ^ (key.high * 0xD6E8FEB86659FD93); }
    void prefetch(uint64_t hash) const { __builtin_prefetch(&buckets_[hash >> shift_]); }

    // Writes the tokens of a piece to `ids`, where kMaxInline have room at least, and returns where they end; nullptr
    // where the piece is not known.
    TokenId* find(const Key& key, uint64_t hash, std::string_view piece, TokenId* ids) const {
        const size_t place = hash >> shift_;
        const Bucket* const bucket = &buckets_[place];
        // Which of the two it is cannot be foretold, so this is a choice of addresses and no jump.
        const Entry* entry = bucket->entries[1].key == key ? &bucket->entries[1] : &bucket->entries[0];
        if (entry->key != key) [[unlikely]] {
            const bool is_full = bucket->entries[1].key != Key{0, 0};
            entry = is_full ? find_beside(place, key) : nullptr;
            if (entry == nullptr) {
                return nullptr;
            }
        }
        const TokenId first = entry->ids[0];
        const size_t count = first >> kCountShift;
        if (count > kMaxInline) [[unlikely]] {
            return find_stored(*entry, piece, ids);
        }
        std::memcpy(ids, entry->ids.data(), sizeof(entry->ids));
        ids[0] = first & kIdMask;
        return ids + count;
    }

    void add(const Key& key, std::string_view piece, std::span<const TokenId> ids);

  private:
    static constexpr unsigned kCountShift = 24;
    static constexpr TokenId kIdMask = (TokenId{1} << kCountShift) - 1;
    static constexpr TokenId kStored = 0xFF;
    static constexpr size_t kFirstBuckets = size_t{1} << 9;
    static constexpr size_t kMostBuckets = size_t{1} << 19;
    static constexpr size_t kBytesPerBucket = 128;  // of text: English of 100 MB has a new piece every 190 bytes
    static constexpr size_t kMostStoredBytes = size_t{64} << 20;

    // The first bytes of sixteen, by their number.
    static constexpr auto kMasks = [] {
        std::array<Key, kMaxKeyBytes + 1> masks{};
        for (size_t i = 0; i <= kMaxKeyBytes; ++i) {
            masks[i].low = i >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * i)) - 1;
            masks[i].high = i <= 8 ? 0 : (uint64_t{1} << (8 * (i - 8))) - 1;
        }
        return masks;
    }();

    struct alignas(64) Bucket {
        std::array<Entry, 2> entries;
    };
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };

    static bool is_long(const Key& key) { return key.high >> 56 > kMaxKeyBytes; }
    void resize(size_t num_buckets);
    void grow(size_t num_buckets);
    void put(const Entry& entry);
    const Entry* find_beside(size_t place, const Key& key) const;
    TokenId* find_stored(const Entry& entry, std::string_view piece, TokenId* ids) const;
    void clear();

    std::unique_ptr<void, Free> memory_;
    Bucket* buckets_ = nullptr;  // in it, aligned
    size_t num_buckets_ = 0;
    size_t num_entries_ = 0;
    unsigned shift_ = 0;
    std::vector<TokenId> stored_;  // tokens, and the bytes of long pieces in stored_bytes_
    std::string stored_bytes_;
};

// The bytes as two numbers, zeros after the last one.
inline WordCache::Key WordCache::short_key(const char* piece, size_t num_bytes, const char* end) {
    static_assert(std::endian::native == std::endian::little, "the masks take the first bytes for the low ones");
    Key key;
    if (end - piece >= 16) {
        std::memcpy(&key, piece, sizeof(key));
        key.low &= kMasks[num_bytes].low;
        key.high &= kMasks[num_bytes].high;
    } else {
        key = {0, 0};
        std::memcpy(&key, piece, num_bytes);
    }
    key.high |= uint64_t{num_bytes} << 56;
    return key;
}

}  // namespace textmill::tokenizer
