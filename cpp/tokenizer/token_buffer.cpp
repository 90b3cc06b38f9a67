#include "tokenizer/token_buffer.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace textmill::tokenizer {

void want_huge_pages([[maybe_unused]] void* memory, [[maybe_unused]] size_t num_bytes) {
#if defined(__linux__)
    constexpr size_t kLeastBytes = size_t{4} << 20;
    constexpr uintptr_t kPageBytes = uintptr_t{2} << 20;
    if (num_bytes >= kLeastBytes) {
        const uintptr_t begin = (reinterpret_cast<uintptr_t>(memory) + kPageBytes - 1) & ~(kPageBytes - 1);
        const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + num_bytes) & ~(kPageBytes - 1);
        // A request: where the system does not follow it, everything works as well.
        static_cast<void>(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE));
    }
#endif
}

void TokenBuffer::Free::operator()(TokenId* ids) const {
    std::free(ids);
}

void TokenBuffer::grow(size_t count) {
    const size_t wanted = std::max(size_ + count, capacity_ + capacity_ / 2);
    void* const grown = std::realloc(ids_.get(), wanted * sizeof(TokenId));
    if (grown == nullptr) {
        throw std::bad_alloc();
    }
    static_cast<void>(ids_.release());  // realloc has freed it
    ids_.reset(static_cast<TokenId*>(grown));
    capacity_ = wanted;
    want_huge_pages(grown, wanted * sizeof(TokenId));
}

void TokenBuffer::append(std::span<const TokenId> ids) {
    take_until(std::copy(ids.begin(), ids.end(), reserve(ids.size())));
}

}  // namespace textmill::tokenizer
