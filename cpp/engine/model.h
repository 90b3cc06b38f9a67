// A LLaMA-style model's sizes and weights, as the forward pass reads them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/kv_layout.h"
#include "engine/panels.h"
#include "engine/stored_rows.h"
#include "engine/thread_pool.h"

namespace textmill::engine {

// What of a layer differs from the others.
struct LayerShape {
    size_t window = 0;  // tokens that a query sees, itself included; 0 for all
    bool rotates = true;
    bool has_value_embeddings = false;  // a row of a table is added to each token's values
};

// The matrices of a layer that multiply all tokens.
enum class Projection : uint8_t { kQ, kK, kV, kO, kGate, kUp, kDown };
inline constexpr size_t kNumProjections = 7;

// By Hugging Face's names: "self_attn.q_proj".
std::optional<Projection> projection_named(std::string_view name);

struct MatrixSize {
    size_t num_rows;
    size_t num_cols;
};

struct ModelShape {
    size_t vocab_size;
    size_t hidden_size;
    size_t intermediate_size;
    size_t num_heads;
    size_t num_key_value_heads;
    size_t head_dim;
    float rms_norm_eps;
    bool has_qk_norm;
    std::vector<float> rope_frequencies;  // [head_dim / 2]
    float rope_scale;                     // of cosines and sines
    std::vector<LayerShape> layers;

    size_t query_size() const { return num_heads * head_dim; }
    size_t key_value_size() const { return num_key_value_heads * head_dim; }
    size_t group() const { return num_heads / num_key_value_heads; }
    MatrixSize size_of(Projection projection) const;
};

// A matrix and its bias, which is empty where there is none and else padded to whole panels.
struct Linear {
    Panels weight;
    std::vector<float> bias;
};

// Rows of a table of tokens in the bytes of the file: a few of them are read for each forward.
struct Table {
    StoredType type = StoredType::kF32;
    size_t row_stride = 0;
    HugeArray<uint8_t> rows;

    const uint8_t* row(int32_t id) const { return rows.data() + static_cast<size_t>(id) * row_stride; }
};

struct Layer {
    Linear q, k, v, o, gate, up, down;
    Table value_embeddings;
    std::vector<float> input_norm, post_attention_norm;  // padded to the stride of inputs
    std::vector<float> q_norm, k_norm;
};

class Model {
  public:
    // Throws std::invalid_argument for sizes that do not fit each other.
    explicit Model(ModelShape shape);

    const ModelShape& shape() const { return shape_; }
    const Layer& layer(size_t index) const { return layers_[index]; }
    const Table& table() const { return table_; }
    const Linear& head() const { return head_; }
    const std::vector<float>& final_norm() const { return final_norm_; }
    size_t num_bytes() const;

    // The setters take Hugging Face's names: "self_attn.q_proj" of layer `layer`, and "model.norm" and "lm_head" of
    // none. Row i is row `row_order[i]` of the data unless that is empty. They throw std::invalid_argument for a name
    // that is not known, bytes that do not fit the shape, and what is not finite.
    // Without a layer `set_table` sets the input table, with one the layer's value embeddings.
    void set_table(std::optional<size_t> layer, StoredType stored, const uint8_t* data, size_t num_bytes,
                   ThreadPool& pool);
    void set_matrix(std::optional<size_t> layer, std::string_view name, WeightType type, StoredType stored,
                    const uint8_t* data, size_t num_bytes, std::span<const int64_t> row_order, ThreadPool& pool);
    void set_vector(std::optional<size_t> layer, std::string_view name, StoredType stored, const uint8_t* data,
                    size_t num_bytes, std::span<const int64_t> row_order);

    // Throws std::invalid_argument with the name of a tensor that was not set.
    void check_complete() const;

  private:
    struct MatrixPlace {
        Linear* linear;
        MatrixSize size;
    };
    MatrixPlace matrix_place(std::optional<size_t> layer, std::string_view name);
    struct VectorPlace {
        std::vector<float>* vector;
        size_t size;
    };
    VectorPlace vector_place(std::optional<size_t> layer, std::string_view name);

    ModelShape shape_;
    Table table_;
    std::vector<Layer> layers_;
    std::vector<float> final_norm_;
    Linear head_;
};

// Columns between rows of inputs: a multiple of what quantized weights take at once.
inline size_t input_stride(size_t num_cols) {
    return round_up(num_cols, kGroupCols);
}

}  // namespace textmill::engine
