// Mapped files whose blocks are checked when they are first touched: opening costs nothing, and nothing wrong is read.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace textmill::text {

// A block that is not what its checksum says.
struct DamagedBlock {
    size_t file;
    size_t block;
};

// The bytes must outlive this. Threads may check at the same time: a block is then checked twice, to the same end.
class CheckedFiles {
  public:
    // A file with no checksums is never checked. Throws std::invalid_argument where a file has another number of them
    // than it has blocks.
    CheckedFiles(std::vector<std::span<const uint8_t>> files, std::vector<std::span<const uint64_t>> checksums,
                 size_t block_bytes);

    size_t num_files() const { return files_.size(); }
    std::span<const uint8_t> bytes(size_t file) const { return files_[file]; }

    // The first damaged block of those that hold the bytes [begin, end) of a file. Throws std::out_of_range where the
    // file has no such bytes.
    std::optional<DamagedBlock> check(size_t file, size_t begin, size_t end);

    // Whether blocks may have to come from a disk, so that it pays to ask for many at once: true until 256 in a row
    // were there at once.
    bool may_wait() const { return num_quick_.load(std::memory_order_relaxed) < kQuickInARow; }

    // Asks the system to fetch the blocks that hold the bytes [begin, end) of a file, those not checked before; returns
    // at once, and knows nothing of bytes that are not there.
    void expect(size_t file, size_t begin, size_t end) const;

  private:
    static constexpr int kQuickInARow = 256;

    bool is_right(size_t file, size_t block);
    std::span<const uint8_t> block_of(size_t file, size_t block) const;

    std::vector<std::span<const uint8_t>> files_;
    std::vector<std::span<const uint64_t>> checksums_;
    size_t block_bytes_;
    std::vector<size_t> first_blocks_;
    std::vector<std::atomic<uint8_t>> is_checked_;
    std::atomic<int> num_quick_{0};
};

}  // namespace textmill::text
