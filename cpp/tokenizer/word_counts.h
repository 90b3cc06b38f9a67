// How often each piece occurs in the training text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/piece_ends.h"

namespace textmill::tokenizer {

// More memory is needed than the caller allows.
class MemoryLimitError : public std::runtime_error {
  public:
    MemoryLimitError(const std::string& work, size_t needed_bytes, size_t limit_bytes)
        : std::runtime_error(work + " needs at least " + std::to_string(needed_bytes) +
                             " bytes of memory, and the limit is " + std::to_string(limit_bytes)) {}
};

// A byte string of the text and how often it stands there.
struct WordCount {
    std::string_view bytes;
    uint64_t count;
};

// Counts byte strings: an open-addressing table whose slots hold words of up to 15 bytes themselves, and an arena for
// longer ones. What it counts does not depend on the seed of its hash, which no text can know.
class WordCounts {
  public:
    // The most pieces that one call of add() takes.
    static constexpr size_t kBatch = PieceEnds::kMaxEnds;

    WordCounts();

    // Counts pieces of a text, kBatch at most.
    void add(std::string_view text, std::span<const Piece> pieces);

    // The same, sooner: words that come again soon are counted in a small table, which takes 200 kB more. What it holds
    // counts only after flush().
    void add_recent(std::string_view text, std::span<const Piece> pieces);
    void flush();
    void add(const WordCount& word);

    // Adds all of another's counts.
    void merge(const WordCounts& other);

    size_t size() const { return size_; }

    // Calls visit(WordCount) for each word, in an order that means nothing. The bytes are valid during the call.
    template <typename Visit>
    void for_each(const Visit& visit) const {
        for (const Slot& slot : slots_) {
            if (slot.count > 0) {
                visit(WordCount{bytes_of(slot), slot.count});
            }
        }
    }

    size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot) + arena_.capacity(); }

    // The most memory that is held while `num_words` more are added that have `num_bytes` together.
    size_t memory_bytes_to_add(size_t num_words, size_t num_bytes) const;

    // Calls visit(WordCount) for each word in the order of bytes, in place, and leaves the table empty.
    template <typename Visit>
    void drain_sorted(const Visit& visit) {
        const size_t num_words = sort_to_front();
        for (size_t i = 0; i < num_words; ++i) {
            visit(WordCount{bytes_of(slots_[i]), slots_[i].count});
        }
        clear();
    }

    void release() { *this = WordCounts(); }

  private:
    static constexpr size_t kFirstSlots = size_t{1} << 10;
    static constexpr size_t kInlineBytes = 15;
    static constexpr unsigned kRecentBits = 13;  // 85 % of English words, and it stays in the second cache
    static constexpr uint64_t kInArena = 0xFF;

    // The word's bytes, filled up with zeros, and its length in the last of the 16; of a long word its place in the
    // arena, and in `high` a mark, 24 bits of its hash and its length.
    struct Key {
        uint64_t low;
        uint64_t high;
    };
    struct Slot {
        Key key;
        uint64_t count;  // 0 where the slot is empty
    };
    struct Hashed {
        Key key;
        uint64_t hash;
    };

    static bool is_inline(const Key& key) { return key.high >> 56 != kInArena; }
    std::string_view bytes_of(const Slot& slot) const;
    static Key inline_key(std::string_view word, bool may_read_16);
    Hashed hash_of(std::string_view word, bool may_read_16) const;
    uint64_t hash_inline(const Key& key) const;
    uint64_t hash_long(std::string_view word) const;

    void add(const Hashed& hashed, std::string_view word, uint64_t count);
    bool matches(const Slot& slot, const Hashed& hashed, std::string_view word) const;
    static bool fits(size_t num_words, size_t num_slots) { return 3 * num_words <= 2 * num_slots; }
    void make_room(size_t num_words);
    void clear();
    size_t sort_to_front();

    std::vector<Slot> slots_;
    std::vector<Slot> recent_;  // words of up to kInlineBytes, by a hash of few bits: the last one stays
    std::string arena_;
    size_t size_ = 0;
    uint64_t seed_;
};

}  // namespace textmill::tokenizer
