#include "training/attention.h"

#include <algorithm>
#include <memory>
#include <new>
#include <string_view>

#include "engine/kernels.h"
#include "training/team.h"

namespace textmill::training {
namespace {

const AttentionKernels& kernels_of([[maybe_unused]] std::string_view tier) {
#if defined(__x86_64__)
    if (tier == "avx512" || tier == "amx") {
        return avx512_attention();
    }
    if (tier == "avx2") {
        return avx2_attention();
    }
#endif
    return portable_attention();
}

const AttentionKernels& attention_of_this_machine() {
    static const AttentionKernels& kernels = kernels_of(engine::kernels_of_this_machine().name);
    return kernels;
}

constexpr std::align_val_t kAlignment{64};

struct Freed {
    void operator()(uint8_t* memory) const { ::operator delete(memory, kAlignment); }
};

template <typename Task>
void each_unit(const Task& task, Type type, size_t num_threads, size_t worker_bytes,
               void (*call)(const Task&, Type, size_t unit, uint8_t* scratch)) {
    const size_t num_units = task.shape.num_rows * task.shape.num_kv_heads;
    const size_t num_workers = std::min(num_threads, num_units);
    const std::unique_ptr<uint8_t, Freed> scratch(
        static_cast<uint8_t*>(::operator new(num_workers * worker_bytes, kAlignment)));
    each_piece(num_workers, num_units,
               [&](size_t unit, size_t worker) { call(task, type, unit, scratch.get() + worker * worker_bytes); });
}

}  // namespace

void attention_forward(const AttentionForward& task, Type type, size_t num_threads) {
    const AttentionKernels& kernels = attention_of_this_machine();
    each_unit(task, type, num_threads, kernels.forward_scratch(task.shape, type), kernels.forward);
}

void attention_backward(const AttentionBackward& task, Type type, size_t num_threads) {
    const AttentionKernels& kernels = attention_of_this_machine();
    each_unit(task, type, num_threads, kernels.backward_scratch(task.shape, type), kernels.backward);
}

}  // namespace textmill::training
