// AVX-512 with AMX's tiles for products of many rows, products with bf16 weights, and attention over bf16.
#include "engine/lanes_avx512.h"
//
#include "engine/amx_attention.h"
#include "engine/amx_products.h"
#include "engine/kernels_impl.h"
#include "engine/tiers.h"

namespace textmill::engine {
namespace {

constexpr Kernels make_amx_kernels() {
    Kernels kernels = make_kernels("amx");
    const auto at = [](auto type) { return static_cast<size_t>(type); };
    kernels.multiply[at(WeightType::kBF16)] = multiply_bf16_tiles;
    kernels.multiply[at(WeightType::kQ8)] = multiply_quantized_tiles<WeightType::kQ8>;
    kernels.multiply[at(WeightType::kQ4)] = multiply_quantized_tiles<WeightType::kQ4>;
    kernels.multiply[at(WeightType::kQ4Min)] = multiply_quantized_tiles<WeightType::kQ4Min>;
    kernels.attend[at(KvType::kBF16)] = attend_bf16_tiles;
    kernels.attention_rows = 3 * kTileRows;
    return kernels;
}

}  // namespace

const Kernels& amx_kernels() {
    static constexpr Kernels kKernels = make_amx_kernels();
    return kKernels;
}

}  // namespace textmill::engine
