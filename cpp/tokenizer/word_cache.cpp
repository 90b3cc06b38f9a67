#include "tokenizer/word_cache.h"

#include <cstdlib>
#include <new>
#include <utility>

#include "tokenizer/hash.h"

namespace textmill::tokenizer {

void WordCache::FreeBuckets::operator()(Bucket* buckets) const {
    std::free(buckets);
}

WordCache::WordCache() {
    resize(kFirstBuckets);
}

WordCache::Key WordCache::long_key(std::string_view piece) {
    return {hash_bytes(piece), uint64_t{piece.size()} << 56};
}

void WordCache::resize(size_t num_buckets) {
    const size_t num_bytes = num_buckets * sizeof(Bucket);
    void* const memory = std::aligned_alloc(alignof(Bucket), num_bytes);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    want_huge_pages(memory, num_bytes);
    std::memset(memory, 0, num_bytes);  // no piece has an empty key
    buckets_.reset(static_cast<Bucket*>(memory));
    num_buckets_ = num_buckets;
    num_entries_ = 0;
    shift_ = 64 - static_cast<unsigned>(std::countr_zero(num_buckets));
}

void WordCache::put(const Entry& entry) {
    Bucket& bucket = buckets_[hash(entry.key) >> shift_];
    for (Entry& place : bucket.entries) {
        if (place.key == Key{0, 0}) {
            place = entry;
            ++num_entries_;
            return;
        }
    }
    bucket.entries[1] = bucket.entries[0];  // the younger one stays
    bucket.entries[0] = entry;
}

void WordCache::grow() {
    const std::unique_ptr<Bucket[], FreeBuckets> old = std::move(buckets_);
    const size_t num_old = num_buckets_;
    resize(4 * num_old);
    for (size_t i = 0; i < num_old; ++i) {
        for (const Entry& entry : old[i].entries) {
            if (entry.key != Key{0, 0}) {
                put(entry);
            }
        }
    }
}

void WordCache::add(const Key& key, std::string_view piece, std::span<const TokenId> ids) {
    if (num_entries_ > num_buckets_ && num_buckets_ < kMostBuckets) {
        grow();
    }
    Entry entry{key, {}};
    if (ids.size() <= kMaxInline && !is_long(key)) {
        std::copy(ids.begin(), ids.end(), entry.ids.begin());
        entry.ids[0] |= static_cast<TokenId>(ids.size()) << kCountShift;
    } else {
        if (stored_.size() * sizeof(TokenId) + stored_bytes_.size() > kMostStoredBytes) {
            clear();
        }
        entry.ids = {kStored << kCountShift, static_cast<TokenId>(stored_.size()), static_cast<TokenId>(ids.size()),
                     static_cast<TokenId>(stored_bytes_.size())};
        stored_.insert(stored_.end(), ids.begin(), ids.end());
        if (is_long(key)) {
            stored_bytes_.append(piece);
        }
    }
    put(entry);
}

TokenId* WordCache::find_stored(const Entry& entry, std::string_view piece, TokenId* ids) const {
    if (is_long(entry.key) && stored_bytes_.compare(entry.ids[3], piece.size(), piece) != 0) {
        return nullptr;
    }
    return std::copy_n(stored_.begin() + entry.ids[1], entry.ids[2], ids);
}

void WordCache::clear() {
    resize(num_buckets_);
    stored_.clear();
    stored_bytes_.clear();
}

}  // namespace textmill::tokenizer
