#include "tokenizer/normalize.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <utility>

#include "tokenizer/unicode.h"

namespace textmill::tokenizer {
namespace {

struct Decomposition {
    uint32_t code_point;
    uint16_t begin;
    uint8_t size;
};

struct Composition {
    uint32_t first;
    uint32_t second;
    uint32_t composed;
};

struct CombiningRange {
    uint32_t first;  // both ends are inside
    uint32_t last;
    uint8_t combining_class;
};

#include "tokenizer/normalize_tables.inc"

// Hangul is arithmetic (Unicode 16, section 3.12): a syllable is a leading consonant, a vowel and perhaps a trailing
// consonant.
constexpr uint32_t kLeads = 0x1100;
constexpr uint32_t kVowels = 0x1161;
constexpr uint32_t kTrails = 0x11A7;  // one before the first trailing consonant
constexpr uint32_t kSyllables = 0xAC00;
constexpr uint32_t kNumLeads = 19;
constexpr uint32_t kNumVowels = 21;
constexpr uint32_t kNumTrails = 28;
constexpr size_t kWordBytes = 8;
constexpr uint32_t kNumSyllables = kNumLeads * kNumVowels * kNumTrails;

struct Mark {
    uint32_t code_point;
    uint8_t combining_class;
};

const Decomposition* decomposition_of(uint32_t code_point) {
    const auto* found =
        std::lower_bound(std::begin(kDecompositions), std::end(kDecompositions), code_point,
                         [](const Decomposition& entry, uint32_t wanted) { return entry.code_point < wanted; });
    return found != std::end(kDecompositions) && found->code_point == code_point ? found : nullptr;
}

uint8_t combining_class_of(uint32_t code_point) {
    const auto* found =
        std::lower_bound(std::begin(kCombiningRanges), std::end(kCombiningRanges), code_point,
                         [](const CombiningRange& range, uint32_t wanted) { return range.last < wanted; });
    return found != std::end(kCombiningRanges) && found->first <= code_point ? found->combining_class : uint8_t{0};
}

// What two characters compose to, 0 where they do not.
uint32_t composed_of(uint32_t first, uint32_t second) {
    if (first - kLeads < kNumLeads && second - kVowels < kNumVowels) {
        return kSyllables + ((first - kLeads) * kNumVowels + (second - kVowels)) * kNumTrails;
    }
    if (first - kSyllables < kNumSyllables && (first - kSyllables) % kNumTrails == 0 &&
        second - kTrails - 1 < kNumTrails - 1) {
        return first + (second - kTrails);
    }
    const auto* found = std::lower_bound(std::begin(kCompositions), std::end(kCompositions), std::pair{first, second},
                                         [](const Composition& entry, const std::pair<uint32_t, uint32_t>& wanted) {
                                             return std::pair{entry.first, entry.second} < wanted;
                                         });
    return found != std::end(kCompositions) && found->first == first && found->second == second ? found->composed : 0;
}

// Whether a character begins a stretch of its own: it is not changed by NFC, nothing before it composes with it, and
// no mark is moved past it. One byte a code point in static storage, made on first use.
class StableTable {
  public:
    StableTable() {
        for (const Decomposition& entry : kDecompositions) {
            unstable_[entry.code_point] = true;
        }
        for (const CombiningRange& range : kCombiningRanges) {
            std::fill(unstable_.begin() + range.first, unstable_.begin() + range.last + 1, true);
        }
        for (const Composition& entry : kCompositions) {
            unstable_[entry.second] = true;
        }
        std::fill_n(unstable_.begin() + kVowels, kNumVowels, true);
        std::fill_n(unstable_.begin() + kTrails + 1, kNumTrails - 1, true);
        // What composes again is as stable as its own first character.
        for (const Composition& entry : kCompositions) {
            unstable_[entry.composed] = unstable_[kDecomposed[decomposition_of(entry.composed)->begin]];
        }
    }

    bool is_stable(uint32_t code_point) const { return code_point == kInvalidByte || !unstable_[code_point]; }

  private:
    std::array<bool, kNumCodePoints> unstable_;  // static storage is zero to start with, and most of it never touched
};

bool is_stable(uint32_t code_point) {
    static const StableTable table;
    return table.is_stable(code_point);
}

bool is_ascii_word(const char* bytes) {
    uint64_t word = 0;
    std::memcpy(&word, bytes, kWordBytes);
    return (word & 0x8080808080808080) == 0;
}

void append_utf8(uint32_t code_point, std::string& text) {
    if (code_point < 0x80) {
        text += static_cast<char>(code_point);
        return;
    }
    const int num_following = code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
    text += static_cast<char>((0xFF00 >> (num_following + 1) & 0xFF) | code_point >> 6 * num_following);
    for (int i = num_following - 1; i >= 0; --i) {
        text += static_cast<char>(0x80 | (code_point >> 6 * i & 0x3F));
    }
}

void append_mark(uint32_t code_point, std::vector<Mark>& marks) {
    marks.push_back({code_point, combining_class_of(code_point)});
}

void decompose(uint32_t code_point, std::vector<Mark>& marks) {
    if (code_point - kSyllables < kNumSyllables) {
        const uint32_t index = code_point - kSyllables;
        marks.push_back({kLeads + index / (kNumVowels * kNumTrails), 0});
        marks.push_back({kVowels + index / kNumTrails % kNumVowels, 0});
        if (index % kNumTrails != 0) {
            marks.push_back({kTrails + index % kNumTrails, 0});
        }
        return;
    }
    const Decomposition* entry = decomposition_of(code_point);
    if (entry == nullptr) {
        append_mark(code_point, marks);
        return;
    }
    for (size_t i = 0; i < entry->size; ++i) {
        append_mark(kDecomposed[entry->begin + i], marks);
    }
}

// Sorts each run of marks by combining class; characters of class 0 stay where they are.
void reorder(std::vector<Mark>& marks) {
    auto at = marks.begin();
    while (at != marks.end()) {
        const auto run = std::find_if(at, marks.end(), [](const Mark& mark) { return mark.combining_class != 0; });
        at = std::find_if(run, marks.end(), [](const Mark& mark) { return mark.combining_class == 0; });
        std::stable_sort(run, at, [](const Mark& a, const Mark& b) { return a.combining_class < b.combining_class; });
    }
}

// Joins each character to the last one of class 0 where nothing of its own class or a higher one stands between.
void compose(std::vector<Mark>& marks) {
    size_t size = 0;
    size_t starter = marks.size();
    for (const Mark mark : marks) {
        if (starter < size) {
            const uint8_t between = size - starter > 1 ? marks[size - 1].combining_class : uint8_t{0};
            const bool is_blocked = size - starter > 1 && (between == 0 || between >= mark.combining_class);
            const uint32_t composed = is_blocked ? 0 : composed_of(marks[starter].code_point, mark.code_point);
            if (composed != 0) {
                marks[starter].code_point = composed;
                continue;
            }
        }
        if (mark.combining_class == 0) {
            starter = size;
        }
        marks[size++] = mark;
    }
    marks.resize(size);
}

// The end of the stretch that the character at `at` begins: up to the next stable one.
size_t stretch_end(std::string_view text, size_t at) {
    do {
        at += char_at(text, at).num_bytes;
    } while (at < text.size() && !is_stable(char_at(text, at).code_point));
    return at;
}

void append_stretch(std::string_view stretch, std::vector<Mark>& marks, std::string& result) {
    marks.clear();
    for (size_t at = 0; at < stretch.size();) {
        const Char character = char_at(stretch, at);
        decompose(character.code_point, marks);
        at += character.num_bytes;
    }
    reorder(marks);
    compose(marks);
    for (const Mark& mark : marks) {
        append_utf8(mark.code_point, result);
    }
}

}  // namespace

size_t nfc_prefix(std::string_view text) {
    size_t stable = 0;  // where the last stable character begins
    for (size_t at = 0; at < text.size();) {
        if (at + kWordBytes <= text.size() && is_ascii_word(text.data() + at)) {
            at += kWordBytes;
            stable = at - 1;
            continue;
        }
        const Char character = char_at(text, at);
        if (!is_stable(character.code_point)) {
            return stable;
        }
        stable = at;
        at += character.num_bytes;
    }
    return text.size();
}

std::string to_nfc(std::string_view text, std::vector<NormalizedChange>* changes) {
    size_t copied = 0;
    std::string result;
    std::vector<Mark> marks;
    for (size_t begin = nfc_prefix(text), end = begin; begin < text.size(); begin = end) {
        end = stretch_end(text, begin);
        const Char first = char_at(text, begin);
        if (begin + first.num_bytes == end && is_stable(first.code_point)) {
            continue;
        }
        if (first.code_point == kInvalidByte) {
            begin += 1;  // it stays as it is, and the marks after it have nothing to compose with
        }
        result += text.substr(copied, begin - copied);
        const size_t to_begin = result.size();
        append_stretch(text.substr(begin, end - begin), marks, result);
        copied = end;
        if (changes != nullptr && std::string_view(result).substr(to_begin) != text.substr(begin, end - begin)) {
            changes->push_back({to_begin, result.size(), begin, end});
        }
    }
    result += text.substr(copied);
    return result;
}

uint32_t base_character(uint32_t code_point) {
    const Decomposition* const found = decomposition_of(code_point);
    return found == nullptr ? code_point : kDecomposed[found->begin];
}

}  // namespace textmill::tokenizer
