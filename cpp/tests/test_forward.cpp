// The forward pass on several threads, for ThreadSanitizer and AddressSanitizer: a small random model in every type of
// weights and of keys and values gives the same bits with any number of threads, however its texts are cut.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "engine/adapter.h"
#include "engine/bandwidth.h"
#include "engine/forward.h"
#include "engine/tiers.h"

namespace {

using namespace textmill::engine;

void check(bool condition, const char* what, int line) {
    if (!condition) {
        std::fprintf(stderr, "test_forward.cpp:%d: %s\n", line, what);
        std::exit(1);
    }
}
#define CHECK(condition) check((condition), #condition, __LINE__)

constexpr size_t kVocab = 37, kHidden = 48, kInner = 80, kHeads = 6, kKvHeads = 2, kDim = 10, kLayers = 2;

ModelShape make_shape() {
    return {.vocab_size = kVocab,
            .hidden_size = kHidden,
            .intermediate_size = kInner,
            .num_heads = kHeads,
            .num_key_value_heads = kKvHeads,
            .head_dim = kDim,
            .rms_norm_eps = 1e-5f,
            .has_qk_norm = true,
            .rope_frequencies = {1.0f, 0.5f, 0.1f, 0.01f, 0.001f},
            .rope_scale = 1.0f,
            .layers = {{.window = 0, .rotates = true}, {.window = 7, .rotates = false, .has_value_embeddings = true}}};
}

void fill(Model& model, WeightType type, ThreadPool& pool) {
    std::mt19937 generator(3);
    std::normal_distribution<float> normal(0.0f, 0.3f);
    std::vector<float> values;
    const auto bytes_of = [&](size_t count) {
        values.resize(count);
        for (float& value : values) {
            value = normal(generator);
        }
        return reinterpret_cast<const uint8_t*>(values.data());
    };
    model.set_table({}, StoredType::kF32, bytes_of(kVocab * kHidden), kVocab * kHidden * 4, pool);
    const auto matrix = [&](std::optional<size_t> layer, const char* name, size_t rows, size_t cols) {
        model.set_matrix(layer, name, type, StoredType::kF32, bytes_of(rows * cols), rows * cols * 4, {}, pool);
    };
    const auto vector = [&](std::optional<size_t> layer, const char* name, size_t size) {
        model.set_vector(layer, name, StoredType::kF32, bytes_of(size), size * 4, {});
    };
    matrix(std::nullopt, "lm_head", kVocab, kHidden);
    vector(std::nullopt, "model.norm", kHidden);
    for (size_t layer = 0; layer < kLayers; ++layer) {
        matrix(layer, "self_attn.q_proj", kHeads * kDim, kHidden);
        matrix(layer, "self_attn.k_proj", kKvHeads * kDim, kHidden);
        matrix(layer, "self_attn.v_proj", kKvHeads * kDim, kHidden);
        matrix(layer, "self_attn.o_proj", kHidden, kHeads * kDim);
        matrix(layer, "mlp.gate_proj", kInner, kHidden);
        matrix(layer, "mlp.up_proj", kInner, kHidden);
        matrix(layer, "mlp.down_proj", kHidden, kInner);
        vector(layer, "self_attn.q_proj", kHeads * kDim);
        vector(layer, "mlp.down_proj", kHidden);
        vector(layer, "input_layernorm", kHidden);
        vector(layer, "post_attention_layernorm", kHidden);
        vector(layer, "self_attn.q_norm", kDim);
        vector(layer, "self_attn.k_norm", kDim);
        if (model.shape().layers[layer].has_value_embeddings) {
            const size_t count = kVocab * kKvHeads * kDim;
            model.set_table(layer, StoredType::kF32, bytes_of(count), count * 4, pool);
        }
    }
    model.check_complete();
}

constexpr size_t kStride = 48;

// Two texts, the first in chunks of `step` tokens beside single tokens of the second.
std::vector<float> run(const Kernels& kernels, WeightType type, KvType kv, unsigned num_threads, size_t step) {
    ThreadPool pool(num_threads);
    Model model(make_shape());
    fill(model, type, pool);
    KvArena arena({kv, kDim}, kLayers, kKvHeads, 64);
    Forward forward(model, kernels, arena, pool);
    std::vector<int32_t> ids(600), blocks(40), other_blocks(2);
    for (size_t i = 0; i < ids.size(); ++i) {
        ids[i] = static_cast<int32_t>(i * 7 % kVocab);
    }
    std::iota(blocks.rbegin(), blocks.rend(), 20);
    other_blocks = {3, 1};
    std::vector<float> all(ids.size() * kStride);
    for (size_t start = 0, turn = 0; start < ids.size(); start += step, ++turn) {
        const size_t count = std::min(step, ids.size() - start);
        std::vector<Chunk> chunks = {{{ids.data() + start, count}, start, blocks, count}};
        if (turn < 20) {
            chunks.push_back({{ids.data() + turn, 1}, turn, other_blocks, turn % 2});
        }
        std::vector<float> logits((count + 1) * kStride);
        forward.run(chunks, Forward::Rows::kLogits, logits.data(), kStride);
        std::memcpy(&all[start * kStride], logits.data(), count * kStride * sizeof(float));
        if (turn < 20 && turn % 2 == 1) {  // both texts are the same so far, whatever stands beside each
            if (turn < start) {
                CHECK(std::memcmp(&logits[count * kStride], &all[turn * kStride], kVocab * sizeof(float)) == 0);
            }
        }
    }
    return all;
}

void test_threads_and_cuts(const Kernels& kernels) {
    for (size_t type = 0; type < kNumWeightTypes; ++type) {
        const auto kv = static_cast<KvType>(type % kNumKvTypes);
        const std::vector<float> expected = run(kernels, static_cast<WeightType>(type), kv, 1, 600);
        for (const unsigned num_threads : {2u, 3u}) {
            const std::vector<float> found =
                run(kernels, static_cast<WeightType>(type), kv, num_threads, num_threads == 2 ? 600 : 29);
            CHECK(std::memcmp(found.data(), expected.data(), expected.size() * sizeof(float)) == 0);
        }
    }
}

// Chunks that are shared out by the splits of their text, of which a window leaves some out.
void test_short_chunks(const Kernels& kernels) {
    const std::vector<float> expected = run(kernels, WeightType::kQ8, KvType::kBF16, 1, 600);
    const std::vector<float> found = run(kernels, WeightType::kQ8, KvType::kBF16, 3, 5);
    CHECK(std::memcmp(found.data(), expected.data(), expected.size() * sizeof(float)) == 0);
}

constexpr const char* kMatrices[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                     "mlp.gate_proj",    "mlp.up_proj",      "mlp.down_proj"};

void fill(Adapter& adapter, const ModelShape& shape, std::span<const char* const> names, size_t rank,
          ThreadPool& pool) {
    std::mt19937 generator(static_cast<unsigned>(rank));
    std::normal_distribution<float> normal(0.0f, 0.3f);
    for (size_t layer = 0; layer < kLayers; ++layer) {
        for (const char* const name : names) {
            const auto [num_rows, num_cols] = shape.size_of(*projection_named(name));
            std::vector<float> a(rank * num_cols), b(num_rows * rank);
            for (std::vector<float>* values : {&a, &b}) {
                std::generate(values->begin(), values->end(), [&] { return normal(generator); });
            }
            adapter.set(layer, name, rank, a, b, 0.5f, pool);
        }
    }
}

constexpr size_t kTokens = 50, kTexts = 4;

// The logits after the last token of some of four texts, alike but for their adapters, in chunks of `step` tokens.
std::vector<float> run_adapted(const Kernels& kernels, WeightType type, unsigned num_threads, size_t step, bool narrows,
                               std::span<const size_t> texts) {
    ThreadPool pool(num_threads);
    Model model(make_shape());
    fill(model, type, pool);
    Adapter all(model.shape()), some(model.shape());
    fill(all, model.shape(), kMatrices, 5, pool);
    fill(some, model.shape(), std::array{kMatrices[0], kMatrices[5], kMatrices[6]}, 20, pool);
    const std::array<const Adapter*, kTexts> adapters = {&all, nullptr, &some, &all};
    constexpr size_t kBlocks = kTokens / kBlockTokens + 1;
    KvArena arena({KvType::kBF16, kDim}, kLayers, kKvHeads, kTexts * kBlocks);
    Forward forward(model, kernels, arena, pool);
    std::vector<int32_t> ids(kTokens), blocks(kTexts * kBlocks);
    for (size_t i = 0; i < kTokens; ++i) {
        ids[i] = static_cast<int32_t>(i * 7 % kVocab);
    }
    std::iota(blocks.begin(), blocks.end(), 0);
    std::vector<float> last;
    for (size_t start = 0; start < kTokens; start += step) {
        const size_t count = std::min(step, kTokens - start);
        const size_t num_logits = narrows ? 1 : count;
        std::vector<Chunk> chunks;
        for (const size_t text : texts) {
            chunks.push_back(
                {{ids.data() + start, count}, start, {&blocks[text * kBlocks], kBlocks}, num_logits, adapters[text]});
        }
        std::vector<float> logits(texts.size() * num_logits * kStride);
        forward.run(chunks, Forward::Rows::kLogits, logits.data(), kStride);
        last.clear();
        for (size_t i = 0; i < texts.size(); ++i) {
            const float* const row = &logits[((i + 1) * num_logits - 1) * kStride];
            last.insert(last.end(), row, row + kVocab);
        }
    }
    return last;
}

// Texts of two adapters and of none in one pass: each is as if it were alone, whatever the threads and cuts.
void test_adapters(const Kernels& kernels) {
    for (size_t number = 0; number < kNumWeightTypes; ++number) {
        const auto type = static_cast<WeightType>(number);
        std::vector<float> expected;
        for (size_t text = 0; text < kTexts; ++text) {
            const std::vector<float> alone = run_adapted(kernels, type, 1, kTokens, false, std::array{text});
            CHECK(alone == run_adapted(kernels, type, 3, 1, false, std::array{text}));
            expected.insert(expected.end(), alone.begin(), alone.end());
        }
        const auto row = [&](size_t text) {
            return std::vector<float>(&expected[text * kVocab], &expected[text * kVocab] + kVocab);
        };
        CHECK(row(0) == row(3) && row(0) != row(1) && row(0) != row(2) && row(1) != row(2));
        for (const size_t step : {size_t{1}, size_t{9}, kTokens}) {
            for (const bool narrows : {false, true}) {
                const std::array<size_t, kTexts> together = {0, 1, 2, 3};
                CHECK(expected ==
                      run_adapted(kernels, type, 1 + static_cast<unsigned>(step % 3), step, narrows, together));
            }
        }
    }
}

void test_refusals() {
    ThreadPool pool(1);
    Model model(make_shape());
    const std::vector<float> values(kHidden * kHidden);
    const auto* const bytes = reinterpret_cast<const uint8_t*>(values.data());
    const auto refuses = [](auto&& call) {
        try {
            call();
        } catch (const std::invalid_argument&) {
            return true;
        }
        return false;
    };
    CHECK(refuses([&] { model.check_complete(); }));
    Adapter adapter(model.shape());
    const auto set = [&](size_t layer, const char* name, size_t rank, float scale) {
        adapter.set(layer, name, rank, std::span(values).first(kHidden), std::span(values).first(kHeads * kDim), scale,
                    pool);
    };
    CHECK(refuses([&] { set(0, "lm_head", 1, 1.0f); }));
    CHECK(refuses([&] { set(kLayers, "self_attn.q_proj", 1, 1.0f); }));
    CHECK(refuses([&] { set(0, "self_attn.q_proj", 2, 1.0f); }));
    CHECK(refuses([&] { set(0, "self_attn.q_proj", 1, std::numeric_limits<float>::infinity()); }));
    CHECK(adapter.rank() == 0 && adapter.num_bytes() == 0);
    set(0, "self_attn.q_proj", 1, 1.0f);
    CHECK(adapter.rank() == 1 && adapter.num_bytes() > 0);
    CHECK(refuses([&] { model.set_table({}, StoredType::kQ6_K, bytes, 100, pool); }));
    CHECK(refuses([&] { model.set_table(0, StoredType::kF32, bytes, kVocab * kKvHeads * kDim * 4, pool); }));
    CHECK(refuses([&] { model.set_table(1, StoredType::kQ8_0, bytes, 100, pool); }));
    CHECK(refuses([&] { model.set_vector(0, "self_attn.other", StoredType::kF32, bytes, 4, {}); }));
    CHECK(refuses([&] { model.set_vector(0, "input_layernorm", StoredType::kF32, bytes, 4, {}); }));
    CHECK(refuses([&] {
        model.set_matrix(0, "self_attn.o_proj", WeightType::kF32, StoredType::kF32, bytes, kHidden * kHeads * kDim * 4,
                         std::vector<int64_t>(kHidden, 1'000), pool);
    }));
}

}  // namespace

int main() {
    test_refusals();
    for (const Tier& tier : tiers()) {
        if (tier.is_supported()) {
            test_threads_and_cuts(tier.kernels());
            test_short_chunks(tier.kernels());
            test_adapters(tier.kernels());
        } else {
            std::printf("skipped: this processor has not all of %s\n", tier.name);
        }
    }
    ThreadPool pool(2);
    CHECK(read_bandwidth(pool, 1 << 20) > 0.0);
    std::puts("ok");
}
