#include "tokenizer/word_cache.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <utility>

#include "tokenizer/hash.h"

namespace textmill::tokenizer {

WordCache::WordCache() {
    resize(kFirstBuckets);
}

WordCache::Key WordCache::long_key(std::string_view piece) {
    return {hash_bytes(piece), uint64_t{piece.size()} << 56};
}

// Takes new buckets, and gives back the memory of the old ones. Changes nothing where there is no memory.
WordCache::Memory WordCache::resize(size_t num_buckets) {
    // All zeros, which is no piece's key; large blocks are so as they come from the system, and untouched.
    const size_t num_bytes = (num_buckets + 1) * sizeof(Bucket);
    Memory memory(std::calloc(num_bytes, 1));
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    want_huge_pages(memory.get(), num_bytes);
    const auto address = reinterpret_cast<uintptr_t>(memory.get());
    buckets_ = reinterpret_cast<Bucket*>((address + alignof(Bucket) - 1) & ~(alignof(Bucket) - 1));
    num_buckets_ = num_buckets;
    num_entries_ = 0;
    shift_ = 64 - static_cast<unsigned>(std::countr_zero(num_buckets));
    memory_.swap(memory);
    return memory;
}

void WordCache::put(const Entry& entry) {
    const size_t place = hash(entry.key) >> shift_;
    for (size_t i = 0; i < kNeighbours; ++i) {
        for (Entry& known : buckets_[place ^ i].entries) {
            if (known.key == Key{0, 0}) {
                known = entry;
                ++num_entries_;
                return;
            }
        }
    }
    Bucket& bucket = buckets_[place];
    bucket.entries[1] = bucket.entries[0];  // the younger one stays
    bucket.entries[0] = entry;
}

const WordCache::Entry* WordCache::find_beside(size_t place, const Key& key) const {
    for (size_t i = 1; i < kNeighbours; ++i) {
        const Bucket& bucket = buckets_[place ^ i];
        for (const Entry& entry : bucket.entries) {
            if (entry.key == key) {
                return &entry;
            }
        }
        if (!bucket.is_full()) {
            break;
        }
    }
    return nullptr;
}

void WordCache::grow(size_t num_buckets) {
    const Bucket* const old = buckets_;
    const size_t num_old = num_buckets_;
    const Memory old_memory = resize(num_buckets);
    for (size_t i = 0; i < num_old; ++i) {
        for (const Entry& entry : old[i].entries) {
            if (entry.key != Key{0, 0}) {
                put(entry);
            }
        }
    }
}

void WordCache::prepare(size_t num_bytes) {
    size_t num_buckets = num_buckets_;
    while (num_buckets < kMostBuckets && num_buckets * kBytesPerBucket < num_bytes) {
        num_buckets *= 2;
    }
    if (num_buckets > num_buckets_) {
        grow(num_buckets);
    }
}

void WordCache::add(const Key& key, uint64_t hash, std::string_view piece, std::span<const TokenId> ids) {
    Value value{};
    if (find(key, hash, piece, value)) {
        return;
    }
    if (num_entries_ > num_buckets_ && num_buckets_ < kMostBuckets) {
        grow(std::min(4 * num_buckets_, kMostBuckets));
    }
    if (ids.size() <= kMaxInline && !is_long(key)) {
        std::copy(ids.begin(), ids.end(), value.begin());
        value[0] |= static_cast<TokenId>(ids.size()) << kCountShift;
    } else {
        is_full_ = stored_.size() * sizeof(TokenId) + stored_bytes_.size() > kMostStoredBytes;
        if (is_full_) {
            return;
        }
        value = {kStored << kCountShift, static_cast<TokenId>(stored_.size()), static_cast<TokenId>(ids.size()),
                 static_cast<TokenId>(stored_bytes_.size())};
        stored_.insert(stored_.end(), ids.begin(), ids.end());
        if (is_long(key)) {
            stored_bytes_.append(piece);
        }
    }
    put({key, value});
}

// Two long pieces may have one hash.
bool WordCache::is_stored_for(const Value& value, std::string_view piece) const {
    return stored_bytes_.compare(value[3], piece.size(), piece) == 0;
}

TokenId* WordCache::write_stored(const Value& value, TokenId* ids) const {
    return std::copy_n(stored_.begin() + value[1], value[2], ids);
}

void WordCache::clear() {
    std::fill_n(buckets_, num_buckets_, Bucket{});
    num_entries_ = 0;
    stored_.clear();
    stored_bytes_.clear();
    is_full_ = false;
}

}  // namespace textmill::tokenizer
