#include "engine/model.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace textmill::engine {
namespace {

constexpr size_t kMaxSize = size_t{1} << 24;  // products of two of them and a float stay far inside 64 bits

[[noreturn]] void refuse(const std::string& reason) {
    throw std::invalid_argument(reason);
}

void check_bytes(std::string_view name, StoredType stored, size_t num_rows, size_t num_cols, size_t num_bytes) {
    const StoredLayout& layout = layout_of(stored);
    if (num_cols % layout.block_size != 0) {
        refuse(std::string(name) + " has rows of " + std::to_string(num_cols) + " values, which blocks of " +
               std::to_string(layout.block_size) + " (" + std::string(layout.name) + ") do not fill");
    }
    if (num_bytes != num_rows * row_bytes(stored, num_cols)) {
        refuse(std::string(name) + " has " + std::to_string(num_bytes) + " bytes, and takes " +
               std::to_string(num_rows * row_bytes(stored, num_cols)));
    }
}

void check_order(std::string_view name, std::span<const int64_t> row_order, size_t num_rows) {
    const auto is_row = [&](int64_t row) { return row >= 0 && static_cast<size_t>(row) < num_rows; };
    if (!row_order.empty() &&
        (row_order.size() != num_rows || !std::all_of(row_order.begin(), row_order.end(), is_row))) {
        refuse(std::string("the order of the rows of ") + std::string(name) + " is not one of its rows");
    }
}

}  // namespace

std::optional<Projection> projection_named(std::string_view name) {
    constexpr std::string_view kNames[kNumProjections] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                                          "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                                          "mlp.down_proj"};
    const auto* const found = std::find(std::begin(kNames), std::end(kNames), name);
    return found == std::end(kNames) ? std::nullopt : std::optional(static_cast<Projection>(found - kNames));
}

MatrixSize ModelShape::size_of(Projection projection) const {
    switch (projection) {
        case Projection::kQ:
            return {query_size(), hidden_size};
        case Projection::kK:
        case Projection::kV:
            return {key_value_size(), hidden_size};
        case Projection::kO:
            return {hidden_size, query_size()};
        case Projection::kGate:
        case Projection::kUp:
            return {intermediate_size, hidden_size};
        case Projection::kDown:
            return {hidden_size, intermediate_size};
    }
    return {};
}

Model::Model(ModelShape shape) : shape_(std::move(shape)), layers_(shape_.layers.size()) {
    const ModelShape& s = shape_;
    const auto is_size = [](size_t size) { return size > 0 && size <= kMaxSize; };
    if (!is_size(s.vocab_size) || !is_size(s.hidden_size) || !is_size(s.intermediate_size) || !is_size(s.num_heads) ||
        !is_size(s.num_key_value_heads) || !is_size(s.layers.size())) {
        refuse(std::string("a size of the model is not from 1 to ") + std::to_string(kMaxSize));
    }
    if (s.num_heads % s.num_key_value_heads != 0 || s.head_dim == 0 || s.head_dim % 2 != 0 ||
        s.rope_frequencies.size() != s.head_dim / 2) {
        refuse("the sizes of the model do not fit each other");
    }
    if (s.head_dim > kMaxHeadDim) {
        refuse(std::string("head_dim is ") + std::to_string(s.head_dim) + ", and may be " +
               std::to_string(kMaxHeadDim) + " at most");
    }
}

size_t Model::num_bytes() const {
    size_t total = table_.rows.size() + head_.weight.num_bytes();
    for (const Layer& layer : layers_) {
        total += layer.value_embeddings.rows.size();
        for (const Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
            total += linear->weight.num_bytes();
        }
    }
    return total;
}

Model::MatrixPlace Model::matrix_place(std::optional<size_t> layer, std::string_view name) {
    const ModelShape& s = shape_;
    if (!layer) {
        if (name != "lm_head") {
            refuse(std::string("there is no matrix ") + std::string(name));
        }
        return {&head_, {s.vocab_size, s.hidden_size}};
    }
    const auto projection = projection_named(name);
    if (!projection) {
        refuse(std::string("there is no matrix ") + std::string(name));
    }
    constexpr Linear Layer::* kPlaces[kNumProjections] = {&Layer::q,    &Layer::k,  &Layer::v,   &Layer::o,
                                                          &Layer::gate, &Layer::up, &Layer::down};
    return {&(layers_.at(*layer).*kPlaces[static_cast<size_t>(*projection)]), s.size_of(*projection)};
}

void Model::set_table(std::optional<size_t> layer, StoredType stored, const uint8_t* data, size_t num_bytes,
                      ThreadPool& pool) {
    if (layer && !shape_.layers.at(*layer).has_value_embeddings) {
        refuse(std::string("layer ") + std::to_string(*layer) + " has no value embeddings");
    }
    if (layer && layout_of(stored).block_size != 1) {  // a head's part of a row is read alone
        refuse(std::string("a table of values cannot be read as ") + std::string(layout_of(stored).name));
    }
    const size_t num_cols = layer ? shape_.key_value_size() : shape_.hidden_size;
    check_bytes(layer ? "a table of values" : "the input table", stored, shape_.vocab_size, num_cols, num_bytes);
    Table& table = layer ? layers_.at(*layer).value_embeddings : table_;
    table = {stored, row_bytes(stored, num_cols), HugeArray<uint8_t>(num_bytes)};
    std::vector<std::vector<float>> scratch(pool.num_threads(), std::vector<float>(num_cols));
    std::atomic<bool> is_finite{true};
    pool.run([&](unsigned thread) {
        const size_t begin = shape_.vocab_size * thread / pool.num_threads();
        const size_t end = shape_.vocab_size * (thread + 1) / pool.num_threads();
        for (size_t row = begin; row < end; ++row) {
            uint8_t* const to = table.rows.data() + row * table.row_stride;
            std::memcpy(to, data + row * table.row_stride, table.row_stride);
            expand_row(stored, to, num_cols, scratch[thread].data());
            if (!are_finite(scratch[thread].data(), num_cols)) {
                is_finite = false;
            }
        }
    });
    if (!is_finite) {
        refuse("it holds a value that is not finite");
    }
}

void Model::set_matrix(std::optional<size_t> layer, std::string_view name, WeightType type, StoredType stored,
                       const uint8_t* data, size_t num_bytes, std::span<const int64_t> row_order, ThreadPool& pool) {
    const MatrixPlace place = matrix_place(layer, name);
    const auto [num_rows, num_cols] = place.size;
    check_bytes(name, stored, num_rows, num_cols, num_bytes);
    check_order(name, row_order, num_rows);
    place.linear->weight = Panels(type, num_rows, num_cols);
    if (const auto row =
            place.linear->weight.fill(stored, data, row_order.empty() ? nullptr : row_order.data(), pool)) {
        const size_t last = std::min(*row + kPanelRows, num_rows) - 1;
        refuse(std::string("rows ") + std::to_string(*row) + " to " + std::to_string(last) +
               " hold a value that is not finite, or too large for the type that it is kept in");
    }
}

Model::VectorPlace Model::vector_place(std::optional<size_t> layer, std::string_view name) {
    if (!layer) {
        if (name != "model.norm") {
            refuse(std::string("there is no vector ") + std::string(name));
        }
        return {&final_norm_, shape_.hidden_size};
    }
    Layer& in = layers_.at(*layer);
    if (name == "input_layernorm") {
        return {&in.input_norm, shape_.hidden_size};
    }
    if (name == "post_attention_layernorm") {
        return {&in.post_attention_norm, shape_.hidden_size};
    }
    if (name == "self_attn.q_norm" || name == "self_attn.k_norm") {
        return {name == "self_attn.q_norm" ? &in.q_norm : &in.k_norm, shape_.head_dim};
    }
    const MatrixPlace place = matrix_place(layer, name);
    return {&place.linear->bias, place.size.num_rows};
}

void Model::set_vector(std::optional<size_t> layer, std::string_view name, StoredType stored, const uint8_t* data,
                       size_t num_bytes, std::span<const int64_t> row_order) {
    const VectorPlace place = vector_place(layer, name);
    check_bytes(name, stored, 1, place.size, num_bytes);
    check_order(name, row_order, place.size);
    std::vector<float> values(place.size);
    expand_row(stored, data, place.size, values.data());
    if (!are_finite(values.data(), values.size())) {
        refuse("it holds a value that is not finite");
    }
    place.vector->assign(input_stride(place.size), 0.0f);
    for (size_t i = 0; i < place.size; ++i) {
        (*place.vector)[i] = values[row_order.empty() ? i : static_cast<size_t>(row_order[i])];
    }
}

void Model::check_complete() const {
    const auto require = [](bool is_set, const char* name) {
        if (!is_set) {
            refuse(std::string(name) + " was not set");
        }
    };
    require(!table_.rows.empty(), "the input table");
    require(!head_.weight.empty(), "lm_head");
    require(!final_norm_.empty(), "model.norm");
    for (size_t index = 0; index < layers_.size(); ++index) {
        const Layer& layer = layers_[index];
        for (const Linear* linear : {&layer.q, &layer.k, &layer.v, &layer.o, &layer.gate, &layer.up, &layer.down}) {
            require(!linear->weight.empty(), "a matrix of a layer");
        }
        require(!shape_.layers[index].has_value_embeddings || !layer.value_embeddings.rows.empty(),
                "a table of values");
        require(!layer.input_norm.empty() && !layer.post_attention_norm.empty(), "a norm of a layer");
        require(!shape_.has_qk_norm || (!layer.q_norm.empty() && !layer.k_norm.empty()), "a norm of queries and keys");
    }
}

}  // namespace textmill::engine
