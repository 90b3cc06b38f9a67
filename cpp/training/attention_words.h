// What attention's products are made of, over the lanes of a tier (attention_impl.h).
//
// A product reduces over words: a word is a float, or a pair of bf16 that one instruction multiplies and adds. Of a
// matrix X[rows][columns] there are three forms, each padded with zeros:
//   rows:         word (r, j) is X[r][j], or the pair X[r][2j], X[r][2j + 1]
//   interleaved:  word (i, c) is X[i][c], or the pair X[2i][c], X[2i + 1][c]
//   transposed:   panels of 16 rows, in which word (j, r) is word (r, j) of the rows
// With floats the first two are one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "engine/half.h"
#include "engine/inline.h"
#include "training/typed_lanes.h"

namespace textmill::training {
namespace {

// Queries or keys whose sums a product holds in registers.
constexpr size_t kRows = kTileShape.panels == 2 ? 8 : 4;

constexpr size_t round_up_to(size_t n, size_t step) {
    return (n + step - 1) / step * step;
}

using BF16 = uint16_t;

// Numbers in a word.
template <typename Word>
inline constexpr size_t kPerWord = std::is_same_v<Word, float> ? 1 : 2;

// Sum of products of two rows' elements.
template <typename Element>
TEXTMILL_FUSED float dot_of(const Element* a, const Element* b, size_t count) {
    Floats sum = zeros();
    each_lanes(count, [&](size_t i, size_t num)
                          TEXTMILL_LAMBDA_FUSED { sum = multiply_add(take(a + i, num), take(b + i, num), sum); });
    return sum_of(sum);
}

TEXTMILL_FUSED Floats load_words(const float* p) {
    return load(p);
}
TEXTMILL_FUSED Floats dot_words(const Floats& sum, const Floats& words, const float* word) {
    return multiply_add(words, all(*word), sum);
}
// Sixteen columns of a row of products' inputs.
TEXTMILL_FUSED void store_row(float* row, size_t column, const Floats& x) {
    store(row + column, x);
}
// Sixteen columns of two rows, interleaved.
TEXTMILL_FUSED void store_interleaved(float* words, const Floats& even, const Floats& odd) {
    store(words, even);
    store(words + kLanes, odd);
}

#if defined(TEXTMILL_PAIRS)
TEXTMILL_FUSED Bytes load_words(const uint32_t* p) {
    return load_bytes(reinterpret_cast<const uint8_t*>(p));
}
TEXTMILL_FUSED Floats dot_words(const Floats& sum, const Bytes& words, const uint32_t* word) {
    return dot_pairs(sum, words, *word);
}
TEXTMILL_FUSED void store_row(uint32_t* row, size_t column, const Floats& x) {
    store_pairs(row + column / 2, x);
}
TEXTMILL_FUSED void store_interleaved(uint32_t* words, const Floats& even, const Floats& odd) {
    uint32_t low[kLanes / 2];
    uint32_t high[kLanes / 2];
    store_pairs(low, even);
    store_pairs(high, odd);
    interleave(words, reinterpret_cast<const BF16*>(low), reinterpret_cast<const BF16*>(high));
}
#endif

// Words that a product reads: `outer` words apart from row to row, or from panel to panel of 16 columns, and `step`
// along what it reduces over.
template <typename Word>
struct Operand {
    const Word* words;
    size_t outer;
    size_t step;
};

// Calls f(0) to f(N - 1), with constants: what they index in arrays stays in registers.
template <size_t N, typename F>
TEXTMILL_FUSED void unrolled(F&& f) {
    [&]<size_t... kIndices>(std::index_sequence<kIndices...>)
        TEXTMILL_LAMBDA_FUSED { (f(std::integral_constant<size_t, kIndices>{}), ...); }(std::make_index_sequence<N>{});
}

// out[row][column] = a b, or added to what is there, for kRows rows and C panels of columns.
template <size_t C, typename Word>
TEXTMILL_FUSED void multiply_tile(const Operand<Word>& a, const Operand<Word>& b, size_t num_steps, bool adds,
                                  float* out, size_t out_stride) {
    Floats sums[kRows][C];
    const auto each_sum = [](auto&& f) TEXTMILL_LAMBDA_FUSED {
        unrolled<kRows>([&](auto r)
                            TEXTMILL_LAMBDA_FUSED { unrolled<C>([&](auto c) TEXTMILL_LAMBDA_FUSED { f(r, c); }); });
    };
    if (adds) {
        each_sum([&](auto r, auto c) TEXTMILL_LAMBDA_FUSED { sums[r][c] = load(out + r * out_stride + c * kLanes); });
    } else {
        each_sum([&](auto r, auto c) TEXTMILL_LAMBDA_FUSED { sums[r][c] = zeros(); });
    }
    const Word* a_words = a.words;
    const Word* b_words = b.words;
    for (size_t step = 0; step < num_steps; ++step) {
        decltype(load_words(b_words)) columns[C];
        unrolled<C>([&](auto c) TEXTMILL_LAMBDA_FUSED { columns[c] = load_words(b_words + c * b.outer); });
        each_sum([&](auto r, auto c)
                     TEXTMILL_LAMBDA_FUSED { sums[r][c] = dot_words(sums[r][c], columns[c], a_words + r * a.outer); });
        a_words += a.step;
        b_words += b.step;
    }
    each_sum([&](auto r, auto c) TEXTMILL_LAMBDA_FUSED { store(out + r * out_stride + c * kLanes, sums[r][c]); });
}

// The same for any number of panels.
template <typename Word>
TEXTMILL_FUSED void multiply_rows(const Operand<Word>& a, const Operand<Word>& b, size_t num_steps, size_t num_panels,
                                  bool adds, float* out, size_t out_stride) {
    const auto multiply_panels = [&](auto count, size_t panel) TEXTMILL_LAMBDA_FUSED {
        multiply_tile<count>(a, {b.words + panel * b.outer, b.outer, b.step}, num_steps, adds, out + panel * kLanes,
                             out_stride);
    };
    size_t panel = 0;
    if constexpr (kTileShape.panels == 2) {
        for (; num_panels - panel == 2 || num_panels - panel > 3; panel += 2) {
            multiply_panels(std::integral_constant<size_t, 2>{}, panel);
        }
        if (num_panels - panel == 3) {
            multiply_panels(std::integral_constant<size_t, 3>{}, panel);
            return;
        }
    }
    for (; panel < num_panels; ++panel) {
        multiply_panels(std::integral_constant<size_t, 1>{}, panel);
    }
}

// A matrix in memory: rows of elements.
template <typename Element>
struct Matrix {
    const Element* data;
    ptrdiff_t stride;
    size_t num_rows;
    size_t num_columns;

    TEXTMILL_FUSED const Element* row(size_t r) const { return data + static_cast<ptrdiff_t>(r) * stride; }
};

// The first of the forms, `padded_rows` of them, `num_words` in each.
template <typename Element, typename Word>
TEXTMILL_FUSED void pack_rows(const Matrix<Element>& x, size_t padded_rows, size_t num_words, Word* out) {
    std::memset(static_cast<void*>(out), 0, padded_rows * num_words * sizeof(Word));
    for (size_t r = 0; r < x.num_rows; ++r) {
        if constexpr (std::is_same_v<Word, float>) {
            each_lanes(x.num_columns, [&](size_t c, size_t num) TEXTMILL_LAMBDA_FUSED {
                put(out + r * num_words + c, num, take(x.row(r) + c, num));
            });
        } else {
            std::memcpy(out + r * num_words, x.row(r), x.num_columns * sizeof(Element));
        }
    }
}

// The interleaved form of `padded_rows`, an even number, of `num_columns` words.
template <typename Element, typename Word>
TEXTMILL_FUSED void pack_interleaved(const Matrix<Element>& x, size_t padded_rows, size_t num_columns, Word* out) {
    if constexpr (std::is_same_v<Word, float>) {
        pack_rows(x, padded_rows, num_columns, out);
    } else {
        for (size_t r = 0; r < padded_rows; r += 2) {
            const Element* const even = r < x.num_rows ? x.row(r) : nullptr;
            const Element* const odd = r + 1 < x.num_rows ? x.row(r + 1) : nullptr;
            Word* const to = out + r / 2 * num_columns;
            size_t c = 0;
            if (even != nullptr && odd != nullptr) {
                for (; c + kLanes <= x.num_columns; c += kLanes) {
                    interleave(to + c, even + c, odd + c);
                }
            }
            for (; c < num_columns; ++c) {
                const bool is_there = c < x.num_columns;
                const Word low = is_there && even != nullptr ? even[c] : Word{0};
                const Word high = is_there && odd != nullptr ? odd[c] : Word{0};
                to[c] = low | high << 16;
            }
        }
    }
}

// The transposed form of `padded_rows`, a multiple of 16, of `num_words` words.
template <typename Element, typename Word>
TEXTMILL_FUSED void pack_transposed(const Matrix<Element>& x, size_t padded_rows, size_t num_words, Word* out) {
    for (size_t first = 0; first < padded_rows; first += kLanes) {
        Word* const panel = out + first * num_words;
        const size_t num_rows = x.num_rows > first ? std::min(kLanes, x.num_rows - first) : 0;
        if (num_rows < kLanes || num_words * kPerWord<Word> != x.num_columns) {
            std::memset(static_cast<void*>(panel), 0, kLanes * num_words * sizeof(Word));
        }
        for (size_t r = 0; r < num_rows; ++r) {
            const Element* const from = x.row(first + r);
            for (size_t j = 0; j < x.num_columns / kPerWord<Word>; ++j) {
                if constexpr (std::is_same_v<Element, Word>) {
                    panel[j * kLanes + r] = from[j];
                } else if constexpr (std::is_same_v<Word, float>) {
                    panel[j * kLanes + r] = bf16_to_float(from[j]);
                } else {
                    std::memcpy(panel + j * kLanes + r, from + 2 * j, sizeof(Word));
                }
            }
            if constexpr (kPerWord<Word> == 2) {
                if (x.num_columns % 2 != 0) {
                    panel[x.num_columns / 2 * kLanes + r] = from[x.num_columns - 1];
                }
            }
        }
    }
}

// Memory of a thread, taken from its beginning on; of none, only how much is taken means anything.
class Scratch {
  public:
    explicit Scratch(uint8_t* at) : begin_(reinterpret_cast<uintptr_t>(at)) {}

    template <typename T>
    T* take(size_t count) {
        const uintptr_t part = begin_ + used_;
        used_ += round_up_to(count * sizeof(T), 64);
        return reinterpret_cast<T*>(part);
    }
    size_t used() const { return used_; }

  private:
    uintptr_t begin_;
    size_t used_ = 0;
};

}  // namespace
}  // namespace textmill::training
