// Remembers the tokens of pieces, so that most of a text is looked up and not merged.
//
// Buckets of two in one cache line; where one is full, the next of the eight around it help out. A piece of up to 15
// bytes is its own key, so that one comparison settles a lookup; a longer one has a hash for a key, and its bytes are
// compared too. Grows with what it holds, up to 64 MB of buckets and 64 MB beside them; then new pieces take the places
// of old ones.
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

    // Up to four tokens, their number in the top byte of the first (ids are below 2^24). More of them, and those of
    // long pieces, stand in stored_: then the byte is kStored, and the others say where.
    using Value = std::array<TokenId, kMaxInline>;

    WordCache();

    // Makes room for the pieces of a long text before they come: growing on the way would move them several times.
    void prepare(size_t num_bytes);

    // The key of a piece of 1 to kMaxKeyBytes bytes; `end` is behind the last byte that may be read.
    static Key short_key(const char* piece, size_t num_bytes, const char* end);
    static Key long_key(std::string_view piece);

    static uint64_t hash(const Key& key) { return (key.low * 0x9E3779B97F4A7C15) ^ (key.high * 0xD6E8FEB86659FD93); }
    void prefetch(uint64_t hash) const { __builtin_prefetch(&buckets_[hash >> shift_]); }

    // Whether the piece is known; then `value` is for write(), as long as forget_if_full() is not called.
    bool find(const Key& key, uint64_t hash, std::string_view piece, Value& value) const {
        const size_t place = hash >> shift_;
        const Bucket* const bucket = &buckets_[place];
        // Which of the two it is cannot be foretold, so this is a choice of addresses and no jump.
        const Entry* entry = bucket->entries[1].key == key ? &bucket->entries[1] : &bucket->entries[0];
        if (entry->key != key) [[unlikely]] {
            entry = bucket->is_full() ? find_beside(place, key) : nullptr;
            if (entry == nullptr) {
                return false;
            }
        }
        value = entry->value;
        return !is_long(key) || is_stored_for(value, piece);
    }

    // Writes the tokens of a known piece to `ids`, where kMaxInline have room at least, and returns where they end.
    TokenId* write(const Value& value, TokenId* ids) const {
        const size_t count = value[0] >> kCountShift;
        if (count > kMaxInline) [[unlikely]] {
            return write_stored(value, ids);
        }
        std::memcpy(ids, value.data(), sizeof(value));
        ids[0] &= kIdMask;
        return ids + count;
    }

    // Does nothing where the piece is known.
    void add(const Key& key, uint64_t hash, std::string_view piece, std::span<const TokenId> ids);

    // Makes a new start where the tokens beside the buckets have taken all their room.
    void forget_if_full() {
        if (is_full_) [[unlikely]] {
            clear();
        }
    }

  private:
    static constexpr unsigned kCountShift = 24;
    static constexpr TokenId kIdMask = (TokenId{1} << kCountShift) - 1;
    static constexpr TokenId kStored = 0xFF;
    static constexpr size_t kNeighbours = 8;
    static constexpr size_t kFirstBuckets = size_t{1} << 9;
    static constexpr size_t kMostBuckets = size_t{1} << 20;
    static constexpr size_t kBytesPerBucket = 32;  // of text: 6 MB of mixed texts have a new piece every 40 bytes
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

    struct Entry {
        Key key;
        Value value;
    };
    struct alignas(64) Bucket {
        std::array<Entry, 2> entries;

        bool is_full() const { return entries[1].key != Key{0, 0}; }
    };
    struct Free {
        void operator()(void* memory) const { std::free(memory); }
    };

    using Memory = std::unique_ptr<void, Free>;

    static bool is_long(const Key& key) { return key.high >> 56 > kMaxKeyBytes; }
    Memory resize(size_t num_buckets);
    void grow(size_t num_buckets);
    void put(const Entry& entry);
    const Entry* find_beside(size_t place, const Key& key) const;
    bool is_stored_for(const Value& value, std::string_view piece) const;
    TokenId* write_stored(const Value& value, TokenId* ids) const;
    void clear();

    Memory memory_;
    Bucket* buckets_ = nullptr;  // in it, aligned
    size_t num_buckets_ = 0;
    size_t num_entries_ = 0;
    unsigned shift_ = 0;
    bool is_full_ = false;
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
