// For any machine: masks a byte at a time.
#include "tokenizer/windows_impl.h"

namespace textmill::tokenizer {
namespace {

struct Portable {
    static ByteMasks byte_masks(const char* bytes) {
        ByteMasks masks{};
        for (size_t i = 0; i < kWindowBytes; ++i) {
            const auto byte = static_cast<uint8_t>(bytes[i]);
            const auto within = [byte](int first, int count) { return static_cast<uint8_t>(byte - first) < count; };
            const auto bit = [i](bool is_set) { return uint64_t{is_set} << i; };
            const auto folded = static_cast<uint8_t>(byte | 0x20);
            masks.letters |= bit(folded >= 'a' && folded <= 'z');
            masks.digits |= bit(within('0', 10));
            masks.spaces |= bit(byte == ' ');
            masks.controls |= bit(within('\t', 5));
            masks.newlines |= bit(byte == '\n' || byte == '\r');
            masks.apostrophes |= bit(byte == '\'');
            masks.high |= bit(byte >= 0x80);
            masks.trails |= bit(within(0x80, 0x40));
            masks.letter_leads_2 |= bit(within(0xC4, 2) || within(0xD0, 2));
            masks.letter_leads_3 |= bit(within(0xE5, 5) || within(0xEB, 2));
        }
        return masks;
    }

    static uint64_t gather(uint64_t bits, uint64_t places) {
        uint64_t gathered = 0;
        for (int i = 0; places != 0; ++i) {
            gathered |= ((bits >> std::countr_zero(places)) & 1) << i;
            places &= places - 1;
        }
        return gathered;
    }

    static uint64_t scatter(uint64_t bits, uint64_t places) {
        uint64_t scattered = 0;
        for (; places != 0; bits >>= 1) {
            scattered |= (bits & 1) << std::countr_zero(places);
            places &= places - 1;
        }
        return scattered;
    }

    static void write_places(uint64_t bits, uint32_t offset, uint32_t* places) {
        for (; bits != 0; bits &= bits - 1) {
            *places++ = offset + static_cast<uint32_t>(std::countr_zero(bits));
        }
    }
};

}  // namespace

size_t find_ends_portable(const WindowRule& rule, const PaddedText& text, size_t begin, uint32_t* ends,
                          size_t capacity) {
    return find_ends<Portable>(rule, text, begin, ends, capacity);
}

}  // namespace textmill::tokenizer
