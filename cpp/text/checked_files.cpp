#include "text/checked_files.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <utility>

#include "text/block_checksums.h"

namespace textmill::text {
namespace {

// From memory a block of 64 KiB takes some 10 us, from the quickest disks 100.
constexpr std::chrono::microseconds kSlow{60};

std::vector<size_t> count_blocks(const std::vector<std::span<const uint8_t>>& files, size_t block_bytes) {
    if (block_bytes == 0) {
        throw std::invalid_argument("block_bytes is 0, and must be 1 or more");
    }
    std::vector<size_t> first_blocks{0};
    for (const auto& file : files) {
        first_blocks.push_back(first_blocks.back() + (file.size() + block_bytes - 1) / block_bytes);
    }
    return first_blocks;
}

}  // namespace

CheckedFiles::CheckedFiles(std::vector<std::span<const uint8_t>> files,
                           std::vector<std::span<const uint64_t>> checksums, size_t block_bytes)
    : files_(std::move(files)),
      checksums_(std::move(checksums)),
      block_bytes_(block_bytes),
      first_blocks_(count_blocks(files_, block_bytes)),
      is_checked_(first_blocks_.back()) {
    if (checksums_.size() != files_.size()) {
        throw std::invalid_argument("there must be an array of checksums for each file");
    }
    for (size_t file = 0; file < files_.size(); ++file) {
        const size_t num_blocks = first_blocks_[file + 1] - first_blocks_[file];
        if (!checksums_[file].empty() && checksums_[file].size() != num_blocks) {
            throw std::invalid_argument("file " + std::to_string(file) + " has " + std::to_string(num_blocks) +
                                        " blocks and " + std::to_string(checksums_[file].size()) + " checksums");
        }
    }
}

std::optional<DamagedBlock> CheckedFiles::check(size_t file, size_t begin, size_t end) {
    if (file >= files_.size() || begin > end || end > files_[file].size()) {
        throw std::out_of_range("there is no file " + std::to_string(file) + " with the bytes " +
                                std::to_string(begin) + " to " + std::to_string(end));
    }
    const auto& checksums = checksums_[file];
    if (checksums.empty() || begin == end) {
        return std::nullopt;
    }
    for (size_t block = begin / block_bytes_; block <= (end - 1) / block_bytes_; ++block) {
        std::atomic<uint8_t>& is_checked = is_checked_[first_blocks_[file] + block];
        if (is_checked.load(std::memory_order_relaxed) != 0) {
            continue;
        }
        if (!is_right(file, block)) {
            return DamagedBlock{file, block};
        }
        is_checked.store(1, std::memory_order_relaxed);
    }
    return std::nullopt;
}

void CheckedFiles::expect(size_t file, size_t begin, size_t end) const {
    if (file >= files_.size() || begin >= end || end > files_[file].size() || checksums_[file].empty()) {
        return;
    }
    static const auto page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    for (size_t block = begin / block_bytes_; block <= (end - 1) / block_bytes_; ++block) {
        if (is_checked_[first_blocks_[file] + block].load(std::memory_order_relaxed) == 0) {
            const auto bytes = block_of(file, block);
            const auto address = reinterpret_cast<uintptr_t>(bytes.data());
            const uintptr_t page = address - address % page_bytes;
            // What the system says is of no interest: the bytes come, sooner or later.
            (void)posix_madvise(reinterpret_cast<void*>(page), address + bytes.size() - page, POSIX_MADV_WILLNEED);
        }
    }
}

// Compares a block with its checksum, and learns from how long it took whether the files are in memory.
bool CheckedFiles::is_right(size_t file, size_t block) {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    const bool is_right = block_checksum(block_of(file, block)) == checksums_[file][block];
    if (Clock::now() - begin > kSlow) {
        num_quick_.store(0, std::memory_order_relaxed);
    } else if (may_wait()) {
        num_quick_.fetch_add(1, std::memory_order_relaxed);
    }
    return is_right;
}

std::span<const uint8_t> CheckedFiles::block_of(size_t file, size_t block) const {
    const size_t at = block * block_bytes_;
    return files_[file].subspan(at, std::min(block_bytes_, files_[file].size() - at));
}

}  // namespace textmill::text
