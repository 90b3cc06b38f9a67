#include "tokenizer/word_counts.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <random>
#include <utility>

namespace textmill::tokenizer {
namespace {

constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15;
constexpr uint64_t kOther = 0xD6E8FEB86659FD93;

uint64_t load(const char* bytes, size_t num_bytes = sizeof(uint64_t)) {
    uint64_t block = 0;
    std::memcpy(&block, bytes, num_bytes);
    return block;
}

uint64_t mix(uint64_t state) {
    state ^= state >> 32;
    state *= kMultiplier;
    return state ^ (state >> 29);
}

uint64_t low_bytes(uint64_t block, size_t num_bytes) {
    return num_bytes >= 8 ? block : block & ((uint64_t{1} << (8 * num_bytes)) - 1);
}

}  // namespace

WordCounts::WordCounts()
    : slots_(kFirstSlots), seed_(uint64_t{std::random_device{}()} << 32 | std::random_device{}()) {}

uint64_t WordCounts::hash_inline(const Key& key) const {
    return mix(mix((key.low ^ seed_) * kMultiplier) + (key.high ^ seed_));
}

uint64_t WordCounts::hash_long(std::string_view word) const {
    uint64_t state = seed_ ^ word.size();
    for (; word.size() >= sizeof(uint64_t); word.remove_prefix(sizeof(uint64_t))) {
        state = mix((state ^ load(word.data())) * kMultiplier);
    }
    return mix((state ^ load(word.data(), word.size())) * kMultiplier);
}

WordCounts::Key WordCounts::inline_key(std::string_view word, bool may_read_16) {
    Key key{};
    if (may_read_16) {
        key.low = low_bytes(load(word.data()), word.size());
        key.high = word.size() > 8 ? low_bytes(load(word.data() + 8), word.size() - 8) : 0;
    } else {
        std::array<char, 16> bytes{};
        std::memcpy(bytes.data(), word.data(), word.size());
        key = {load(bytes.data()), load(bytes.data() + 8)};
    }
    key.high |= uint64_t{word.size()} << 56;
    return key;
}

WordCounts::Hashed WordCounts::hash_of(std::string_view word, bool may_read_16) const {
    if (word.size() <= kInlineBytes) {
        const Key key = inline_key(word, may_read_16);
        return {key, hash_inline(key)};
    }
    if (word.size() > 0xFFFFFFFF) {
        throw std::length_error("a piece of the text has more than 4 GiB");
    }
    const uint64_t hash = hash_long(word);
    return {{0, kInArena << 56 | (hash >> 40) << 32 | word.size()}, hash};
}

std::string_view WordCounts::bytes_of(const Slot& slot) const {
    if (is_inline(slot.key)) {
        // The bytes of a key stand in memory as in the text: the core is for little-endian machines.
        return {reinterpret_cast<const char*>(&slot.key), static_cast<size_t>(slot.key.high >> 56)};
    }
    return {arena_.data() + slot.key.low, static_cast<size_t>(slot.key.high & 0xFFFFFFFF)};
}

bool WordCounts::matches(const Slot& slot, const Hashed& hashed, std::string_view word) const {
    if (slot.key.high != hashed.key.high) {
        return false;
    }
    return is_inline(hashed.key) ? slot.key.low == hashed.key.low : bytes_of(slot) == word;
}

void WordCounts::add(const Hashed& hashed, std::string_view word, uint64_t count) {
    const size_t mask = slots_.size() - 1;
    for (size_t at = static_cast<size_t>(hashed.hash) & mask;; at = (at + 1) & mask) {
        Slot& slot = slots_[at];
        if (slot.count == 0) {
            slot = {hashed.key, count};
            if (!is_inline(slot.key)) {
                slot.key.low = arena_.size();
                arena_.append(word);
            }
            ++size_;
            return;
        }
        if (matches(slot, hashed, word)) {
            slot.count += count;
            return;
        }
    }
}

void WordCounts::add(std::string_view text, std::span<const Piece> pieces) {
    assert(pieces.size() <= kBatch);
    make_room(pieces.size());
    std::array<Hashed, kBatch> hashed;
    const auto word_of = [text](const Piece& piece) { return text.substr(piece.begin, piece.end - piece.begin); };
    const size_t mask = slots_.size() - 1;
    for (size_t i = 0; i < pieces.size(); ++i) {
        hashed[i] = hash_of(word_of(pieces[i]), pieces[i].begin + 16 <= text.size());
        __builtin_prefetch(&slots_[static_cast<size_t>(hashed[i].hash) & mask], 1);
    }
    for (size_t i = 0; i < pieces.size(); ++i) {
        add(hashed[i], word_of(pieces[i]), 1);
    }
}

void WordCounts::add_recent(std::string_view text, std::span<const Piece> pieces) {
    assert(pieces.size() <= kBatch);
    make_room(pieces.size());
    recent_.resize(size_t{1} << kRecentBits);
    struct Pushed {
        Hashed hashed;
        const Piece* piece;  // of a long word
        uint64_t count;
    };
    std::array<Pushed, kBatch> pushed;
    size_t num_pushed = 0;
    const size_t mask = slots_.size() - 1;
    const auto push = [&](const Hashed& hashed, const Piece* piece, uint64_t count) {
        __builtin_prefetch(&slots_[static_cast<size_t>(hashed.hash) & mask], 1);
        pushed[num_pushed++] = {hashed, piece, count};
    };
    const auto word_of = [text](const Piece& piece) { return text.substr(piece.begin, piece.end - piece.begin); };
    for (const Piece& piece : pieces) {
        const std::string_view word = word_of(piece);
        if (word.size() > kInlineBytes) {
            push(hash_of(word, false), &piece, 1);
            continue;
        }
        const Key key = inline_key(word, piece.begin + 16 <= text.size());
        Slot& slot = recent_[((key.low ^ seed_) * kMultiplier + key.high * kOther) >> (64 - kRecentBits)];
        if (slot.key.low == key.low && slot.key.high == key.high) {
            ++slot.count;
            continue;
        }
        if (slot.count > 0) {
            push({slot.key, hash_inline(slot.key)}, nullptr, slot.count);
        }
        slot = {key, 1};
    }
    for (const Pushed& each : std::span(pushed).first(num_pushed)) {
        add(each.hashed, each.piece != nullptr ? word_of(*each.piece) : std::string_view(), each.count);
    }
}

void WordCounts::flush() {
    for (const Slot& slot : std::exchange(recent_, {})) {
        if (slot.count > 0) {
            make_room(1);
            add({slot.key, hash_inline(slot.key)}, {}, slot.count);
        }
    }
}

void WordCounts::add(const WordCount& word) {
    make_room(1);
    add(hash_of(word.bytes, false), word.bytes, word.count);
}

void WordCounts::merge(const WordCounts& other) {
    other.for_each([this](const WordCount& word) { add(word); });
}

size_t WordCounts::memory_bytes_to_add(size_t num_words, size_t num_bytes) const {
    const auto with_growth = [](size_t capacity, size_t wanted) {
        size_t grown = capacity;
        while (grown < wanted) {
            grown = std::max<size_t>(64, 2 * grown);
        }
        return grown == capacity ? capacity : grown + capacity;
    };
    const size_t wanted_slots = (3 * (size_ + num_words) + 1) / 2;
    return with_growth(slots_.size(), wanted_slots) * sizeof(Slot) +
           with_growth(arena_.capacity(), arena_.size() + num_bytes);
}

void WordCounts::make_room(size_t num_words) {
    size_t num_slots = slots_.size();
    while (!fits(size_ + num_words, num_slots)) {
        num_slots *= 2;
    }
    if (num_slots == slots_.size()) {
        return;
    }
    std::vector<Slot> slots(num_slots);
    for (const Slot& slot : slots_) {
        if (slot.count == 0) {
            continue;
        }
        const uint64_t hash = is_inline(slot.key) ? hash_inline(slot.key) : hash_long(bytes_of(slot));
        size_t at = static_cast<size_t>(hash) & (num_slots - 1);
        while (slots[at].count > 0) {
            at = (at + 1) & (num_slots - 1);
        }
        slots[at] = slot;
    }
    slots_ = std::move(slots);
}

void WordCounts::clear() {
    std::fill(slots_.begin(), slots_.end(), Slot{});
    arena_.clear();
    size_ = 0;
}

size_t WordCounts::sort_to_front() {
    const auto end = std::remove_if(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.count == 0; });
    std::sort(slots_.begin(), end, [this](const Slot& a, const Slot& b) { return bytes_of(a) < bytes_of(b); });
    return static_cast<size_t>(end - slots_.begin());
}

}  // namespace textmill::tokenizer
