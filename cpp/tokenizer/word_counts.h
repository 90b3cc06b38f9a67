// How often each piece occurs in the training text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace textmill::tokenizer {

// More memory is needed than the caller allows.
class MemoryLimitError : public std::runtime_error {
  public:
    MemoryLimitError(const std::string& work, size_t needed_bytes, size_t limit_bytes)
        : std::runtime_error(work + " needs " + std::to_string(needed_bytes) + " bytes of memory, and the limit is " +
                             std::to_string(limit_bytes)) {}
};

// Counts byte strings: an open-addressing table over one arena that holds the bytes of all of them.
class WordCounts {
  public:
    struct Word {
        uint64_t hash;
        uint64_t offset;  // of the bytes in the arena
        uint64_t count;
        uint32_t num_bytes;
    };

    WordCounts() : slots_(kFirstSlots, kEmptySlot) {}

    void add(std::string_view word, uint64_t count) { add(word, hash(word), count); }

    // Adds all of another's counts.
    void merge(const WordCounts& other);

    size_t size() const { return words_.size(); }
    const std::vector<Word>& words() const { return words_; }
    std::string_view bytes_of(const Word& word) const { return {arena_.data() + word.offset, word.num_bytes}; }

    size_t memory_bytes() const {
        return slots_.capacity() * sizeof(uint32_t) + words_.capacity() * sizeof(Word) + arena_.capacity();
    }

  private:
    static constexpr size_t kFirstSlots = size_t{1} << 12;
    static constexpr uint32_t kEmptySlot = 0xFFFFFFFF;

    static uint64_t hash(std::string_view word);
    void add(std::string_view word, uint64_t hash, uint64_t count);
    void grow();

    std::vector<uint32_t> slots_;  // indices into words_
    std::vector<Word> words_;      // in order of first sight
    std::string arena_;
};

}  // namespace textmill::tokenizer
