// Token ids that are written one after the other: an array that grows without being filled first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace textmill::tokenizer {

using TokenId = uint32_t;

class TokenBuffer {
  public:
    // Room for `count` more ids: where to write them. Throws std::bad_alloc.
    TokenId* reserve(size_t count) {
        if (capacity_ - size_ < count) {
            grow(count);
        }
        return ids_.get() + size_;
    }

    // Takes what was written from reserve() on; `end` is behind the last id.
    void take_until(const TokenId* end) { size_ = static_cast<size_t>(end - ids_.get()); }

    void append(std::span<const TokenId> ids);
    void clear() { size_ = 0; }

    TokenId* data() { return ids_.get(); }
    const TokenId* data() const { return ids_.get(); }
    size_t size() const { return size_; }
    size_t capacity() const { return capacity_; }

  private:
    void grow(size_t count);

    struct Free {
        void operator()(TokenId* ids) const;
    };
    std::unique_ptr<TokenId[], Free> ids_;
    size_t size_ = 0;
    size_t capacity_ = 0;
};

// Asks the system for large pages under memory that has not been touched yet: fewer page faults, and fewer misses when
// it is read at random. Does nothing for less than 4 MB, or where there are none.
void want_huge_pages(void* memory, size_t num_bytes);

}  // namespace textmill::tokenizer
