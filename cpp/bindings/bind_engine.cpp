#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "engine/adapter.h"
#include "engine/bandwidth.h"
#include "engine/forward.h"
#include "engine/kernels.h"
#include "engine/model.h"

namespace nb = nanobind;
namespace engine = textmill::engine;
using namespace nb::literals;
using textmill::bindings::View1;
using textmill::bindings::View2;

namespace {

// A model, its threads, and the memory of its texts. One forward pass at a time.
struct Inference {
    Inference(engine::ModelShape shape, unsigned num_threads)
        : kernels(engine::kernels_of_this_machine()), pool(num_threads), model(std::move(shape)) {}

    const engine::Kernels& kernels;
    engine::ThreadPool pool;
    engine::Model model;
    std::vector<std::unique_ptr<engine::Adapter>> adapters;
    std::unique_ptr<engine::KvArena> arena;
    std::unique_ptr<engine::Forward> forward;
    std::mutex mutex;
};

[[noreturn]] void refuse(const std::string& reason) {
    throw std::invalid_argument(reason);
}

unsigned threads_of(unsigned num_threads) {
    return num_threads > 0 ? num_threads : std::max(1u, std::thread::hardware_concurrency());
}

void make_inference(Inference* self, size_t vocab_size, size_t hidden_size, size_t intermediate_size, size_t num_heads,
                    size_t num_key_value_heads, size_t head_dim, float rms_norm_eps, bool qk_norm,
                    View1<float> rope_frequencies, float rope_scale, const std::vector<size_t>& windows,
                    const std::vector<bool>& rotates, const std::vector<bool>& value_embeddings, unsigned num_threads) {
    if (windows.size() != rotates.size() || windows.size() != value_embeddings.size()) {
        refuse("windows, rotates and value_embeddings are of different layers");
    }
    engine::ModelShape shape{
        .vocab_size = vocab_size,
        .hidden_size = hidden_size,
        .intermediate_size = intermediate_size,
        .num_heads = num_heads,
        .num_key_value_heads = num_key_value_heads,
        .head_dim = head_dim,
        .rms_norm_eps = rms_norm_eps,
        .has_qk_norm = qk_norm,
        .rope_frequencies = {rope_frequencies.data(), rope_frequencies.data() + rope_frequencies.size()},
        .rope_scale = rope_scale,
        .layers = {}};
    for (size_t i = 0; i < windows.size(); ++i) {
        shape.layers.push_back({windows[i], rotates[i], value_embeddings[i]});
    }
    new (self) Inference(std::move(shape), threads_of(num_threads));
}

engine::StoredType stored_type(const std::string& name) {
    const auto type = engine::stored_type_named(name);
    if (!type) {
        refuse(std::string("tensors of the type ") + name + " cannot be read");
    }
    return *type;
}

engine::WeightType weight_type(const std::string& name) {
    constexpr std::string_view kNames[] = {"f32", "bf16", "q8", "q4", "q4_min"};
    for (size_t i = 0; i < std::size(kNames); ++i) {
        if (kNames[i] == name) {
            return static_cast<engine::WeightType>(i);
        }
    }
    refuse(std::string("weights cannot be kept as ") + name);
}

std::optional<size_t> layer_of(const Inference& self, std::optional<size_t> layer) {
    if (layer && *layer >= self.model.shape().layers.size()) {
        refuse(std::string("there is no layer ") + std::to_string(*layer));
    }
    return layer;
}

void set_table(Inference& self, std::optional<size_t> layer, const std::string& stored, View1<uint8_t> data) {
    const nb::gil_scoped_release release;
    const std::lock_guard lock(self.mutex);
    self.model.set_table(layer_of(self, layer), stored_type(stored), data.data(), data.size(), self.pool);
}

std::span<const int64_t> order_of(const std::optional<View1<int64_t>>& row_order) {
    return row_order ? std::span(row_order->data(), row_order->size()) : std::span<const int64_t>();
}

void set_matrix(Inference& self, std::optional<size_t> layer, const std::string& name, const std::string& weights,
                const std::string& stored, View1<uint8_t> data, std::optional<View1<int64_t>> row_order) {
    const nb::gil_scoped_release release;
    const std::lock_guard lock(self.mutex);
    self.model.set_matrix(layer_of(self, layer), name, weight_type(weights), stored_type(stored), data.data(),
                          data.size(), order_of(row_order), self.pool);
}

void set_vector(Inference& self, std::optional<size_t> layer, const std::string& name, const std::string& stored,
                View1<uint8_t> data, std::optional<View1<int64_t>> row_order) {
    const nb::gil_scoped_release release;
    const std::lock_guard lock(self.mutex);
    self.model.set_vector(layer_of(self, layer), name, stored_type(stored), data.data(), data.size(),
                          order_of(row_order));
}

size_t add_adapter(Inference& self) {
    const std::lock_guard lock(self.mutex);
    self.adapters.push_back(std::make_unique<engine::Adapter>(self.model.shape()));
    return self.adapters.size() - 1;
}

engine::Adapter& adapter_of(const Inference& self, size_t number) {
    if (number >= self.adapters.size()) {
        refuse(std::string("there is no adapter ") + std::to_string(number));
    }
    return *self.adapters[number];
}

void set_factors(Inference& self, size_t adapter, size_t layer, const std::string& name, View2<float> a, View2<float> b,
                 float scale) {
    const nb::gil_scoped_release release;
    const std::lock_guard lock(self.mutex);
    if (b.shape(1) != a.shape(0)) {
        refuse(std::string("the factors have the ranks ") + std::to_string(a.shape(0)) + " and " +
               std::to_string(b.shape(1)));
    }
    adapter_of(self, adapter)
        .set(layer, name, a.shape(0), {a.data(), a.size()}, {b.data(), b.size()}, scale, self.pool);
}

void open_cache(Inference& self, const std::string& kv, size_t num_blocks) {
    constexpr std::string_view kNames[] = {"f32", "bf16", "int8"};
    const auto* const found = std::find(std::begin(kNames), std::end(kNames), kv);
    if (found == std::end(kNames)) {
        refuse("keys and values cannot be kept as " + kv);
    }
    if (num_blocks == 0 || num_blocks > (size_t{1} << 31) - 1) {
        refuse(std::string("a cache has 1 to 2^31 - 1 blocks, not ") + std::to_string(num_blocks));
    }
    const engine::ModelShape& shape = self.model.shape();
    const engine::KvLayout layout{static_cast<engine::KvType>(found - std::begin(kNames)), shape.head_dim};
    const nb::gil_scoped_release release;
    const std::lock_guard lock(self.mutex);
    self.model.check_complete();
    self.forward.reset();
    self.arena = std::make_unique<engine::KvArena>(layout, shape.layers.size(), shape.num_key_value_heads, num_blocks);
    self.forward = std::make_unique<engine::Forward>(self.model, self.kernels, *self.arena, self.pool);
}

void copy_block(Inference& self, size_t source, size_t target) {
    const nb::gil_scoped_release release;
    const std::lock_guard lock(self.mutex);
    if (!self.arena) {
        refuse("the cache is not open");
    }
    if (std::max(source, target) >= self.arena->num_blocks()) {
        refuse(std::string("there is no block ") + std::to_string(std::max(source, target)));
    }
    self.arena->copy(source, target);
}

using Numbers = View1<int32_t>;

// Chunk i has ids[ids_from[i]] to ids[ids_from[i + 1]], and the same of its blocks.
std::vector<engine::Chunk> to_chunks(const Inference& self, const Numbers& ids, const Numbers& ids_from,
                                     const Numbers& starts, const Numbers& blocks, const Numbers& blocks_from,
                                     const Numbers& num_logits, const Numbers& adapters) {
    const size_t count = starts.size();
    if (ids_from.size() != count + 1 || blocks_from.size() != count + 1 || num_logits.size() != count ||
        adapters.size() != count) {
        refuse("the chunks are not described by arrays of one length");
    }
    const auto part = [](const Numbers& all, const Numbers& from, size_t i) {
        const int64_t begin = from(i), end = from(i + 1);
        if (begin < 0 || end < begin || static_cast<size_t>(end) > all.size()) {
            refuse("a chunk is outside of the arrays");
        }
        return std::span<const int32_t>(all.data() + begin, all.data() + end);
    };
    std::vector<engine::Chunk> chunks;
    for (size_t i = 0; i < count; ++i) {
        const auto chunk_ids = part(ids, ids_from, i);
        const auto chunk_blocks = part(blocks, blocks_from, i);
        if (chunk_ids.empty() || starts(i) < 0 || num_logits(i) < 0 ||
            static_cast<size_t>(num_logits(i)) > chunk_ids.size()) {
            refuse("a chunk has no tokens, or asks for more logits than it has");
        }
        const auto start = static_cast<size_t>(starts(i));
        if (start + chunk_ids.size() > chunk_blocks.size() * engine::kBlockTokens) {
            refuse(std::string("a chunk ends at token ") + std::to_string(start + chunk_ids.size()) + ", and its " +
                   std::to_string(chunk_blocks.size()) + " blocks hold " +
                   std::to_string(chunk_blocks.size() * engine::kBlockTokens));
        }
        for (const int32_t id : chunk_ids) {
            if (id < 0 || static_cast<size_t>(id) >= self.model.shape().vocab_size) {
                refuse(std::to_string(id) + " is no token of the model");
            }
        }
        for (const int32_t block : chunk_blocks) {
            if (block < 0 || static_cast<size_t>(block) >= self.arena->num_blocks()) {
                refuse(std::string("there is no block ") + std::to_string(block));
            }
        }
        const engine::Adapter* const adapter =
            adapters(i) < 0 ? nullptr : &adapter_of(self, static_cast<size_t>(adapters(i)));
        chunks.push_back({chunk_ids, start, chunk_blocks, static_cast<size_t>(num_logits(i)), adapter});
    }
    return chunks;
}

using Logits = nb::ndarray<nb::numpy, float, nb::ndim<2>>;

struct Rows {
    std::unique_ptr<float[]> values;
    size_t count;
};

Rows run_chunks(Inference& self, const std::vector<engine::Chunk>& chunks, engine::Forward::Rows wanted,
                size_t stride) {
    size_t num_rows = 0;
    for (const engine::Chunk& chunk : chunks) {
        num_rows += chunk.num_logits;
    }
    Rows rows{std::make_unique_for_overwrite<float[]>(num_rows * stride), num_rows};
    self.forward->run(chunks, wanted, rows.values.get(), stride);
    return rows;
}

Logits run_forward(Inference& self, const Numbers& ids, const Numbers& ids_from, const Numbers& starts,
                   const Numbers& blocks, const Numbers& blocks_from, const Numbers& num_logits,
                   const Numbers& adapters, bool states) {
    const engine::ModelShape& shape = self.model.shape();
    const auto wanted = states ? engine::Forward::Rows::kStates : engine::Forward::Rows::kLogits;
    const size_t width = states ? shape.hidden_size : shape.vocab_size;
    const size_t stride = states ? engine::input_stride(width) : engine::round_up(width, engine::kPanelRows);
    Rows rows;
    {
        const nb::gil_scoped_release release;
        const std::lock_guard lock(self.mutex);
        if (!self.forward) {
            refuse("the cache is not open");
        }
        const auto chunks = to_chunks(self, ids, ids_from, starts, blocks, blocks_from, num_logits, adapters);
        rows = run_chunks(self, chunks, wanted, stride);
    }
    float* const data = rows.values.release();
    const nb::capsule owner(data, [](void* p) noexcept { delete[] static_cast<float*>(p); });
    const int64_t strides[2] = {static_cast<int64_t>(stride), 1};
    const size_t sizes[2] = {rows.count, width};
    return Logits(data, 2, sizes, owner, strides);
}

double measure_read_bandwidth(unsigned num_threads, size_t num_bytes) {
    const nb::gil_scoped_release release;
    engine::ThreadPool pool(threads_of(num_threads));
    return engine::read_bandwidth(pool, num_bytes);
}

#define NUMBERS "numpy.typing.NDArray[numpy.int32]"

}  // namespace

void bind_engine(nb::module_& m) {
    m.def("read_bandwidth", &measure_read_bandwidth, "num_threads"_a = 0, "num_bytes"_a = size_t{1} << 28,
          "Bytes a second that the threads together read from memory; zero threads are one for each core.");
    nb::class_<Inference>(m, "Inference",
                          "A LLaMA-style model on the processor: its weights, its threads, and the blocks of keys and\n"
                          "values of its texts. Tensors go by Hugging Face's names without \"model.layers.N.\" and\n"
                          "\".weight\" or \".bias\".")
        .def("__init__", &make_inference, nb::kw_only(), "vocab_size"_a, "hidden_size"_a, "intermediate_size"_a,
             "num_attention_heads"_a, "num_key_value_heads"_a, "head_dim"_a, "rms_norm_eps"_a, "qk_norm"_a,
             "rope_frequencies"_a, "rope_scale"_a, "windows"_a, "rotates"_a, "value_embeddings"_a, "num_threads"_a = 0,
             nb::sig("def __init__(self, *, vocab_size: int, hidden_size: int, intermediate_size: int, "
                     "num_attention_heads: int, num_key_value_heads: int, head_dim: int, rms_norm_eps: float, "
                     "qk_norm: bool, rope_frequencies: numpy.typing.NDArray[numpy.float32], "
                     "rope_scale: float, windows: collections.abc.Sequence[int], "
                     "rotates: collections.abc.Sequence[bool], value_embeddings: collections.abc.Sequence[bool], "
                     "num_threads: int = 0) -> None"),
             "For each layer, windows has the tokens that a query sees (0 for all), rotates whether RoPE turns its\n"
             "queries and keys, and value_embeddings whether a row of a table is added to each token's values. Zero\n"
             "threads are one for each core.")
        .def("set_table", &set_table, "layer"_a.none(), "stored"_a, "data"_a,
             nb::sig("def set_table(self, layer: int | None, stored: str, "
                     "data: numpy.typing.NDArray[numpy.uint8]) -> None"),
             "Copy the input table, or a layer's value embeddings, in the type it is stored in (ggml's name).")
        .def(
            "set_matrix", &set_matrix, "layer"_a.none(), "name"_a, "weights"_a, "stored"_a, "data"_a,
            "row_order"_a.none() = nb::none(),
            nb::sig("def set_matrix(self, layer: int | None, name: str, weights: str, stored: str, "
                    "data: numpy.typing.NDArray[numpy.uint8], "
                    "row_order: numpy.typing.NDArray[numpy.int64] | None = None) -> None"),
            "Take a matrix as f32, bf16, q8, q4 or q4_min from the bytes of its file; ValueError where a value is not\n"
            "finite.")
        .def("set_vector", &set_vector, "layer"_a.none(), "name"_a, "stored"_a, "data"_a,
             "row_order"_a.none() = nb::none(),
             nb::sig("def set_vector(self, layer: int | None, name: str, stored: str, "
                     "data: numpy.typing.NDArray[numpy.uint8], "
                     "row_order: numpy.typing.NDArray[numpy.int64] | None = None) -> None"),
             "Take a norm, or the bias of a matrix.")
        .def("add_adapter", &add_adapter, "Begin an adapter that changes no matrix yet; its number.")
        .def("set_factors", &set_factors, "adapter"_a, "layer"_a, "name"_a, "a"_a, "b"_a, "scale"_a,
             nb::sig("def set_factors(self, adapter: int, layer: int, name: str, "
                     "a: numpy.typing.NDArray[numpy.float32], b: numpy.typing.NDArray[numpy.float32], "
                     "scale: float) -> None"),
             "Have an adapter add scale * b a to a matrix of a layer: a [rank, columns of it], b [rows of it, rank].\n"
             "ValueError for a matrix that no adapter changes, sizes that do not fit it, and values that are not\n"
             "finite.")
        .def(
            "adapter_bytes",
            [](const Inference& self, size_t adapter) { return adapter_of(self, adapter).num_bytes(); }, "adapter"_a,
            "Bytes that an adapter's factors take.")
        .def("open_cache", &open_cache, "kv"_a, "num_blocks"_a,
             "Make room for keys and values, as f32, bf16 or int8, in blocks of block_size tokens.")
        .def("copy_block", &copy_block, "source"_a, "target"_a,
             "Make a block's keys and values those of another, for texts that part within it.")
        .def("forward", &run_forward, "ids"_a, "ids_from"_a, "starts"_a, "blocks"_a, "blocks_from"_a, "num_logits"_a,
             "adapters"_a, "states"_a = false,
             nb::sig("def forward(self, ids: " NUMBERS ", ids_from: " NUMBERS ", starts: " NUMBERS ", blocks: " NUMBERS
                     ", blocks_from: " NUMBERS ", num_logits: " NUMBERS ", adapters: " NUMBERS
                     ", states: bool = False) -> numpy.typing.NDArray[numpy.float32]"),
             "Append chunks of texts: chunk i has ids[ids_from[i]:ids_from[i + 1]] and the same of blocks, goes on "
             "from\n"
             "starts[i] tokens, wants logits after its last num_logits[i], and has the adapter of number adapters[i], "
             "or\n"
             "none where that is below 0. float32[sum of num_logits, vocab_size]; "
             "or\n"
             "the states that logits are made of, those of the last layer, normed, float32[sum of num_logits, "
             "hidden_size].")
        .def_prop_ro("num_weight_bytes", [](const Inference& self) { return self.model.num_bytes(); })
        .def_prop_ro("num_threads", [](const Inference& self) { return self.pool.num_threads(); })
        .def_prop_ro("isa", [](const Inference& self) { return self.kernels.name; })
        .def_prop_ro_static("block_size", [](nb::handle) { return engine::kBlockTokens; });
}
