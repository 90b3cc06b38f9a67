// The forward pass of a ragged batch: chunks of prompts and single tokens of many texts together.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/adapter.h"
#include "engine/kernels.h"
#include "engine/kv_arena.h"
#include "engine/model.h"
#include "engine/thread_pool.h"

namespace textmill::engine {

// Tokens to append to one text.
struct Chunk {
    std::span<const int32_t> ids;
    size_t start;                      // tokens of the text whose keys and values are there
    std::span<const int32_t> blocks;   // of the text, from its beginning
    size_t num_logits;                 // logits are wanted after the last so many tokens
    const Adapter* adapter = nullptr;  // changes the model for this text; must outlive the pass
};

// Rows of inputs in all the forms that weights may ask for.
class InputRows {
  public:
    InputRows(size_t num_cols, const Kernels& kernels) : stride_(input_stride(num_cols)), kernels_(kernels) {}

    void reserve(size_t num_rows);
    float* row(size_t index) { return values_.data() + index * stride_; }
    size_t stride() const { return stride_; }
    // Prepares a row for products with these weights.
    void prepare(std::span<const Panels* const> weights, size_t index) {
        prepare(weights, index, 0, stride_, row(index));
    }
    // The same for its columns begin to end, multiples of 32, whose values stand elsewhere.
    void prepare(std::span<const Panels* const> weights, size_t index, size_t begin, size_t end, const float* values);
    Inputs rows(size_t num_rows) const;

  private:
    size_t stride_;
    const Kernels& kernels_;
    HugeArray<float> values_;
    HugeArray<uint8_t> pairs_;
    HugeArray<int8_t> numbers_;
    HugeArray<float> scales_;
    HugeArray<float> scaled_sums_;
    HugeArray<int32_t> sums_;
};

// Where the rows of a product go.
class OutputRows {
  public:
    explicit OutputRows(size_t num_cols) : stride_(input_stride(num_cols)) {}

    void reserve(size_t num_rows) { values_ = HugeArray<float>(num_rows * stride_); }
    float* row(size_t index) { return values_.data() + index * stride_; }
    size_t stride() const { return stride_; }

  private:
    size_t stride_;
    HugeArray<float> values_;
};

class Forward {
  public:
    // The model, the arena and the threads must outlive it.
    Forward(const Model& model, const Kernels& kernels, KvArena& arena, ThreadPool& pool);

    // What is wanted after a chunk's last tokens: logits, or the states that the head would make them of, which are
    // those of the last layer, normed.
    enum class Rows { kLogits, kStates };

    // Writes the rows, `stride` floats from one to the next, those of the first chunk first; `stride` is at least the
    // vocabulary rounded up to 16, or for states `input_stride` of the width. The chunks are of different texts, and
    // what they say fits the model and arena.
    void run(std::span<const Chunk> chunks, Rows wanted, float* rows, size_t stride);

  private:
    // A token of the batch.
    struct Place {
        int32_t id;
        uint32_t chunk;
        size_t position;
    };
    // Neighbouring tokens of a chunk and a key-value head; `split` counts the parts of the text, or is kAllSplits for
    // all of them one after the other.
    struct AttentionItem {
        uint32_t chunk;
        uint32_t head;
        size_t token;  // within the chunk
        size_t num_tokens;
        size_t split;
        size_t partials;  // where the partial results of a single split go
    };
    static constexpr size_t kAllSplits = SIZE_MAX;
    // A chunk of up to so many tokens is shared out by splits of its text, a longer one by its tokens.
    static constexpr size_t kFewTokens = 8;
    // What comes before a product of up to so many rows every thread does for itself: that takes less time than to
    // meet.
    static constexpr size_t kFewRows = 4;
    // Panels of gates that, with what they gate, stay in the second cache until both are multiplied.
    static constexpr size_t kGatedPanels = 8;

    struct Range {
        size_t begin;
        size_t end;
    };
    Range share(unsigned thread, size_t count) const;

    // Neighbouring rows that have the same adapter.
    struct AdaptedRows {
        const Adapter* adapter;
        Range rows;
    };
    // Matrices of a layer with the same inputs, as adapters change them.
    struct Adapted {
        std::span<const AdaptedRows> runs;
        size_t layer = 0;
        Projection first = Projection::kQ;
        size_t num_matrices = 0;
        float* shrunk = nullptr;  // A x, for each row and matrix

        Projection projection(size_t matrix) const {
            return static_cast<Projection>(static_cast<size_t>(first) + matrix);
        }
    };
    void plan_adapters();
    // `is_last` for the rows with logits alone; `is_own` where each thread makes A x for itself.
    Adapted adapted(unsigned thread, size_t layer, Projection first, size_t num_matrices, bool is_last, bool is_own);
    float* shrunk_row(const Adapted& adapted, size_t row, size_t matrix) const;
    // A x, of some rows.
    void shrink(unsigned thread, const Adapted& adapted, const Inputs& inputs, Range rows);
    void shrink_gated(unsigned thread, const Adapted& adapted, const Inputs& inputs);
    // Adds B (A x) to panels begin to end of a product; `out` is for the first of these.
    void expand(unsigned thread, const Adapted& adapted, size_t matrix, size_t begin, size_t end, float* out,
                size_t out_stride);

    void reserve(size_t num_tokens);
    void plan(std::span<const Chunk> chunks);
    void plan_attention(std::span<const Chunk> chunks);
    void walk(unsigned thread, Rows wanted, float* rows, size_t stride);

    void embed(unsigned thread);
    // Rows of x, normed: row i is x's row rows[i], or i where `rows` is empty. Of a few rows each thread makes its own.
    Inputs norm_inputs(unsigned thread, OutputRows& x, size_t num_rows, std::span<const size_t> rows,
                       const std::vector<float>& norm, std::span<const Panels* const> weights, const Adapted& adapted);
    size_t block_of(const Place& place) const;
    void place_heads(unsigned thread, size_t layer);
    void turn_head(float* head, size_t place, size_t layer, const std::vector<float>& norm) const;
    void place_key_value(size_t place, size_t layer, size_t head);
    void norm_head(float* head, const std::vector<float>& norm) const;
    void add_embedding(const Table& table, int32_t id, size_t at, float* value) const;
    void attend(unsigned thread, size_t layer);
    void attend_item(const AttentionItem& item, size_t layer, uint8_t* scratch);
    void attend_split(const AttentionItem& item, size_t layer, AttentionTask& task, float* turned);
    Inputs finish_attention(unsigned thread, size_t layer, bool narrows, const Adapted& adapted);
    void fold_splits(size_t place, float* sum, float* out);
    void multiply_gated(unsigned thread, const Layer& layer, const Inputs& inputs, const Adapted& adapted);
    size_t gated_panels(size_t num_rows) const;
    void multiply_head(unsigned thread, bool narrowed, float* logits, size_t stride);
    void write_states(unsigned thread, bool narrowed, float* states, size_t stride);

    // Matrices with the same inputs, their panels shared out by bytes.
    struct Target {
        const Linear* linear;
        float* out;
        size_t stride;
    };
    void multiply(unsigned thread, std::span<const Target> targets, const Inputs& inputs, bool adds,
                  const Adapted& adapted);
    // Panels begin to end of one of them; `out` is for the first of these.
    void multiply_panels(unsigned thread, const Linear& linear, size_t begin, size_t end, const Inputs& inputs,
                         float* out, size_t out_stride, bool adds);
    static Target to_rows(const Linear& linear, OutputRows& out);
    void barrier() { pool_.barrier(); }

    const Model& model_;
    const Kernels& kernels_;
    KvArena& arena_;
    ThreadPool& pool_;

    std::span<const Chunk> chunks_;
    std::vector<Place> places_;
    std::vector<size_t> first_place_;                  // of each chunk
    std::vector<size_t> logit_rows_;                   // places whose logits are wanted
    std::vector<AdaptedRows> adapted_, last_adapted_;  // of all rows, and of those with logits
    std::vector<AttentionItem> items_;
    std::vector<size_t> split_partials_;  // of each chunk, where it is shared out by splits; else kAllSplits
    alignas(64) std::atomic<size_t> next_item_{0};

    bool is_few_ = false;  // rows
    size_t num_reserved_ = 0;
    InputRows normed_, attended_, gated_;
    OutputRows x_, q_, k_, v_;
    // After the last layer's attention only rows with logits go on.
    InputRows last_attended_;
    OutputRows last_x_;
    // Of each thread, for few rows.
    std::vector<InputRows> own_normed_, own_attended_;
    std::vector<float> shrunk_;
    std::vector<std::vector<float>> own_shrunk_;  // of each thread, for few rows
    size_t shrunk_stride_ = 0;
    // Of each thread: columns of gates, and as many of what they gate.
    std::vector<HugeArray<float>> gates_;
    std::vector<float> cosines_, sines_;
    std::vector<float> partials_;
    size_t partial_size_;
    size_t tile_tokens_;
    size_t scratch_bytes_;                     // for attention
    std::vector<HugeArray<uint8_t>> scratch_;  // of each thread
};

}  // namespace textmill::engine
