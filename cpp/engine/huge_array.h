// Large zeroed memory for weights and for keys and values, in huge pages where the system has them.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace textmill::engine {

// Zeros, aligned to a page at least. What was never touched takes no memory.
template <typename T>
class HugeArray {
    static_assert(std::is_trivially_copyable_v<T>);

  public:
    HugeArray() = default;
    explicit HugeArray(size_t size) : size_(size) {
        if (size == 0) {
            return;
        }
        if (size > (size_t{1} << 46) / sizeof(T)) {
            throw std::bad_alloc();
        }
        // A large array gets a huge page more than it needs, so that it can begin at one.
        const size_t num_bytes = size * sizeof(T);
        const bool is_large = num_bytes >= kHugePage;
        mapped_bytes_ = is_large ? (num_bytes + 2 * kHugePage - 1) / kHugePage * kHugePage : num_bytes;
        void* const mapped =
            mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mapped == MAP_FAILED) {
            throw std::bad_alloc();
        }
        mapped_ = static_cast<std::byte*>(mapped);
        const size_t misaligned = reinterpret_cast<size_t>(mapped_) % kHugePage;
        data_ = reinterpret_cast<T*>(mapped_ + (misaligned == 0 || !is_large ? 0 : kHugePage - misaligned));
#ifdef MADV_HUGEPAGE
        if (is_large) {
            (void)madvise(mapped_, mapped_bytes_, MADV_HUGEPAGE);
        }
#endif
    }
    ~HugeArray() {
        if (mapped_ != nullptr) {
            munmap(mapped_, mapped_bytes_);
        }
    }
    HugeArray(HugeArray&& other) noexcept { swap(other); }
    HugeArray& operator=(HugeArray&& other) noexcept {
        HugeArray moved(std::move(other));
        swap(moved);
        return *this;
    }

    T* data() { return data_; }
    const T* data() const { return data_; }
    size_t size() const { return size_; }
    bool empty() const { return size_ == 0; }

  private:
    static constexpr size_t kHugePage = size_t{1} << 21;

    void swap(HugeArray& other) noexcept {
        std::swap(mapped_, other.mapped_);
        std::swap(mapped_bytes_, other.mapped_bytes_);
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
    }

    std::byte* mapped_ = nullptr;
    size_t mapped_bytes_ = 0;
    T* data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace textmill::engine
