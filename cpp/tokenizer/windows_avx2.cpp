// Compiled for AVX2 and BMI2 (Haswell, Zen and later).
#include <immintrin.h>

#include "tokenizer/windows_impl.h"

namespace textmill::tokenizer {
namespace {

struct Avx2 {
    // Both halves of a window.
    struct Bytes {
        __m256i low;
        __m256i high;
    };

    static uint64_t to_mask(__m256i low, __m256i high) {
        return static_cast<uint32_t>(_mm256_movemask_epi8(low)) |
               uint64_t{static_cast<uint32_t>(_mm256_movemask_epi8(high))} << 32;
    }

    static ByteMasks byte_masks(const char* bytes) {
        const Bytes v{_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes)),
                      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + 32))};
        const auto equal = [](const Bytes& values, int byte) {
            const __m256i wanted = _mm256_set1_epi8(static_cast<char>(byte));
            return to_mask(_mm256_cmpeq_epi8(values.low, wanted), _mm256_cmpeq_epi8(values.high, wanted));
        };
        const auto within = [](const Bytes& values, int first, int count) {
            const __m256i base = _mm256_set1_epi8(static_cast<char>(first));
            const __m256i most = _mm256_set1_epi8(static_cast<char>(count - 1));
            const auto half = [&](__m256i part) {
                const __m256i moved = _mm256_sub_epi8(part, base);
                return _mm256_cmpeq_epi8(_mm256_min_epu8(moved, most), moved);
            };
            return to_mask(half(values.low), half(values.high));
        };
        const auto each = [](const Bytes& values, auto change) {
            return Bytes{change(values.low), change(values.high)};
        };
        ByteMasks masks{};
        masks.letters =
            within(each(v, [](__m256i part) { return _mm256_or_si256(part, _mm256_set1_epi8(0x20)); }), 'a', 26);
        masks.digits = within(v, '0', 10);
        masks.spaces = equal(v, ' ');
        masks.controls = within(v, '\t', 5);
        masks.newlines = equal(v, '\n') | equal(v, '\r');
        masks.apostrophes = equal(v, '\'');
        masks.high = to_mask(v.low, v.high);
        if (masks.high != 0) {
            const Bytes even =
                each(v, [](__m256i part) { return _mm256_and_si256(part, _mm256_set1_epi8(static_cast<char>(0xFE))); });
            masks.trails = within(v, 0x80, 0x40);
            masks.letter_leads_2 = equal(even, 0xC4) | equal(even, 0xD0);
            masks.letter_leads_3 = within(v, 0xE5, 5) | within(v, 0xEB, 2);
        }
        return masks;
    }

    static uint64_t gather(uint64_t bits, uint64_t places) { return _pext_u64(bits, places); }
    static uint64_t scatter(uint64_t bits, uint64_t places) { return _pdep_u64(bits, places); }

    // Eight at a time, more than there are, so that no branch depends on each bit.
    static void write_places(uint64_t bits, uint32_t offset, uint32_t* places) {
        for (int count = std::popcount(bits); count > 0; count -= 8) {
            for (int i = 0; i < 8; ++i) {
                places[i] = offset + static_cast<uint32_t>(std::countr_zero(bits));
                bits &= bits - 1;
            }
            places += 8;
        }
    }
};

}  // namespace

size_t find_ends_avx2(const WindowRule& rule, const PaddedText& text, size_t begin, uint32_t* ends, size_t capacity) {
    return find_ends<Avx2>(rule, text, begin, ends, capacity);
}

}  // namespace textmill::tokenizer
