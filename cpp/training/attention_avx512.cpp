// Attention of training on AVX-512 with BF16.
#include "engine/lanes_avx512.h"

#define TEXTMILL_PAIRS 1

namespace textmill::training {
namespace {

using namespace engine;

// Pairs of what stands at the same place in two rows of sixteen bf16.
TEXTMILL_FUSED void interleave(uint32_t* words, const uint16_t* even, const uint16_t* odd) {
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(even)));
    const __m512i high = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(odd)));
    _mm512_storeu_si512(words, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

}  // namespace
}  // namespace textmill::training

#include "training/attention_impl.h"

namespace textmill::training {

const AttentionKernels& avx512_attention() {
    static constexpr AttentionKernels kKernels = make_attention("avx512");
    return kKernels;
}

}  // namespace textmill::training
