// The kernels, written once over the lanes of a tier: included by one file a tier, after its lanes.
#include "engine/attention_kernels.h"
#include "engine/kernels.h"
#include "engine/kv_kernels.h"
#include "engine/product_kernels.h"
#include "engine/row_kernels.h"

namespace textmill::engine {
namespace {

constexpr Kernels make_kernels(const char* name) {
    return {
        .name = name,
        .pair_bytes = sizeof(Pair),
        .attention_rows = 24,
        .multiply = {multiply_panels<WeightType::kF32>, multiply_panels<WeightType::kBF16>,
                     multiply_panels<WeightType::kQ8>, multiply_panels<WeightType::kQ4>,
                     multiply_panels<WeightType::kQ4Min>},
        .rms_norm = rms_norm,
        .to_pairs = to_pairs,
        .to_numbers = to_numbers,
        .swiglu = swiglu,
        .rotate = rotate,
        .store_kv = store_kv,
        .attend = {attend<KvType::kF32>, attend<KvType::kBF16>, attend<KvType::kInt8>},
        .fold = fold,
        .divide = divide_by_sum,
    };
}

}  // namespace
}  // namespace textmill::engine
