#include "engine/forward.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace textmill::engine {

void InputRows::reserve(size_t num_rows) {
    // A row more than are used: a compiler may read, and drop, what stands behind the last one.
    ++num_rows;
    values_ = HugeArray<float>(num_rows * stride_);
    pairs_ = HugeArray<uint8_t>(num_rows * stride_ / 2 * kernels_.pair_bytes);
    numbers_ = HugeArray<int8_t>(num_rows * stride_);
    scales_ = HugeArray<float>(num_rows * stride_ / kGroupCols);
    scaled_sums_ = HugeArray<float>(num_rows * stride_ / kGroupCols);
    sums_ = HugeArray<int32_t>(num_rows * stride_ / kGroupCols);
}

void InputRows::prepare(std::span<const Panels* const> weights, size_t index, size_t begin, size_t end,
                        const float* values) {
    const auto has = [&](auto&& asks) {
        return std::any_of(weights.begin(), weights.end(), [&](const Panels* panels) { return asks(panels->type()); });
    };
    if (values != row(index) + begin && has([](WeightType type) { return type == WeightType::kF32; })) {
        std::copy_n(values, end - begin, row(index) + begin);
    }
    const size_t at = index * stride_ + begin;
    if (has([](WeightType type) { return type == WeightType::kBF16; })) {
        kernels_.to_pairs(values, end - begin, pairs_.data() + at / 2 * kernels_.pair_bytes);
    }
    if (has(is_quantized)) {
        const size_t group = at / kGroupCols;
        kernels_.to_numbers(
            values, end - begin,
            {numbers_.data() + at, scales_.data() + group, scaled_sums_.data() + group, sums_.data() + group});
    }
}

Inputs InputRows::rows(size_t num_rows) const {
    return {num_rows,        stride_,        values_.data(),      pairs_.data(),
            numbers_.data(), scales_.data(), scaled_sums_.data(), sums_.data()};
}

Forward::Forward(const Model& model, const Kernels& kernels, KvArena& arena, ThreadPool& pool)
    : model_(model),
      kernels_(kernels),
      arena_(arena),
      pool_(pool),
      normed_(model.shape().hidden_size, kernels),
      attended_(model.shape().query_size(), kernels),
      gated_(model.shape().intermediate_size, kernels),
      x_(model.shape().hidden_size),
      q_(model.shape().query_size()),
      k_(model.shape().key_value_size()),
      v_(model.shape().key_value_size()),
      last_attended_(model.shape().query_size(), kernels),
      last_x_(model.shape().hidden_size),
      partial_size_(kPartialHead + arena.layout().padded_dim()),
      tile_tokens_(std::max<size_t>(1, kernels.attention_rows / model.shape().group())) {
    const size_t most_rows = std::max(tile_tokens_, kFewTokens) * model.shape().group();
    const size_t sums_bytes = most_rows * (2 * partial_size_ + model.shape().head_dim) * sizeof(float);
    const ModelShape& shape = model.shape();
    scratch_bytes_ = attention_scratch_bytes(most_rows, arena.layout().padded_dim()) + sums_bytes;
    for (unsigned thread = 0; thread < pool.num_threads(); ++thread) {
        scratch_.emplace_back(scratch_bytes_);
        gates_.emplace_back();
        own_normed_.emplace_back(shape.hidden_size, kernels).reserve(kFewRows);
        own_attended_.emplace_back(shape.query_size(), kernels).reserve(kFewRows);
    }
}

void Forward::reserve(size_t num_tokens) {
    if (num_tokens <= num_reserved_) {
        return;
    }
    const size_t num_rows = round_up(num_tokens, 64);
    num_reserved_ = 0;  // until all of it is there
    for (InputRows* rows : {&normed_, &attended_, &gated_, &last_attended_}) {
        rows->reserve(num_rows);
    }
    for (OutputRows* rows : {&x_, &q_, &k_, &v_, &last_x_}) {
        rows->reserve(num_rows);
    }
    cosines_.resize(num_rows * model_.shape().head_dim / 2);
    sines_.resize(cosines_.size());
    const ModelShape& shape = model_.shape();
    const size_t most_cols = std::max({shape.hidden_size, shape.query_size(), shape.intermediate_size});
    const size_t num_gates = std::max(num_rows * gated_panels(num_rows), kFewRows * gated_panels(kFewRows));
    for (HugeArray<float>& gates : gates_) {
        gates = HugeArray<float>(2 * num_gates * kPanelRows);
    }
    for (HugeArray<uint8_t>& scratch : scratch_) {
        scratch = HugeArray<uint8_t>(std::max(scratch_bytes_, product_scratch_bytes(num_rows, most_cols)));
    }
    num_reserved_ = num_rows;
}

void Forward::plan(std::span<const Chunk> chunks) {
    chunks_ = chunks;
    places_.clear();
    first_place_.clear();
    logit_rows_.clear();
    for (uint32_t chunk = 0; chunk < chunks.size(); ++chunk) {
        first_place_.push_back(places_.size());
        const Chunk& in = chunks[chunk];
        for (size_t i = 0; i < in.ids.size(); ++i) {
            if (i + in.num_logits >= in.ids.size()) {
                logit_rows_.push_back(places_.size());
            }
            places_.push_back({in.ids[i], chunk, in.start + i});
        }
    }
    is_few_ = places_.size() <= kFewRows;
    reserve(places_.size());
    plan_attention(chunks);
    plan_adapters();
}

void Forward::run(std::span<const Chunk> chunks, Rows wanted, float* rows, size_t stride) {
    plan(chunks);
    next_item_.store(0, std::memory_order_relaxed);
    pool_.run([&](unsigned thread) { walk(thread, wanted, rows, stride); });
}

Forward::Target Forward::to_rows(const Linear& linear, OutputRows& out) {
    return {&linear, out.row(0), out.stride()};
}

// Between two barriers each thread writes what no other reads.
void Forward::walk(unsigned thread, Rows wanted, float* rows, size_t stride) {
    const size_t num_rows = places_.size();
    const bool narrows = !is_few_ && logit_rows_.size() < num_rows;
    const size_t num_layers = model_.shape().layers.size();
    embed(thread);
    barrier();
    for (size_t index = 0; index < num_layers; ++index) {
        const Layer& layer = model_.layer(index);
        const Adapted qkv = adapted(thread, index, Projection::kQ, 3, false, is_few_);
        const Inputs inputs = norm_inputs(thread, x_, num_rows, {}, layer.input_norm,
                                          std::array{&layer.q.weight, &layer.k.weight, &layer.v.weight}, qkv);
        multiply(thread, std::array{to_rows(layer.q, q_), to_rows(layer.k, k_), to_rows(layer.v, v_)}, inputs, false,
                 qkv);
        barrier();
        if (!is_few_) {
            place_heads(thread, index);
            barrier();
        }
        attend(thread, index);
        barrier();
        const bool narrows_here = narrows && index + 1 == num_layers;
        OutputRows& x = narrows_here ? last_x_ : x_;
        const Adapted o = adapted(thread, index, Projection::kO, 1, narrows_here, is_few_);
        const Inputs attended = finish_attention(thread, index, narrows_here, o);
        multiply(thread, std::array{to_rows(layer.o, x)}, attended, true, o);
        barrier();
        const bool are_few = attended.num_rows <= kFewRows;
        const Adapted gate_up = adapted(thread, index, Projection::kGate, 2, narrows_here, are_few);
        const Inputs normed = norm_inputs(thread, x, attended.num_rows, {}, layer.post_attention_norm,
                                          std::array{&layer.gate.weight, &layer.up.weight}, gate_up);
        multiply_gated(thread, layer, normed, gate_up);
        barrier();
        const Adapted down = adapted(thread, index, Projection::kDown, 1, narrows_here, are_few);
        const Inputs gated = gated_.rows(attended.num_rows);
        shrink_gated(thread, down, gated);
        multiply(thread, std::array{to_rows(layer.down, x)}, gated, true, down);
        barrier();
    }
    if (wanted == Rows::kStates) {
        write_states(thread, narrows, rows, stride);
    } else {
        multiply_head(thread, narrows, rows, stride);
    }
}

// Earlier threads get the larger shares: of a single token's work the first does all.
Forward::Range Forward::share(unsigned thread, size_t count) const {
    const size_t num_threads = pool_.num_threads();
    return {(count * thread + num_threads - 1) / num_threads, (count * (thread + 1) + num_threads - 1) / num_threads};
}

void Forward::embed(unsigned thread) {
    const Table& table = model_.table();
    const ModelShape& shape = model_.shape();
    const size_t num_pairs = shape.head_dim / 2;
    const auto [begin, end] = share(thread, places_.size());
    for (size_t place = begin; place < end; ++place) {
        expand_row(table.type, table.row(places_[place].id), shape.hidden_size, x_.row(place));
        // A text that was not finite may have left its mark between the width and the stride.
        std::fill(x_.row(place) + shape.hidden_size, x_.row(place) + x_.stride(), 0.0f);
        for (size_t i = 0; i < num_pairs; ++i) {
            // The angle is a float, as transformers has it; its cosine is taken in double, the same on every tier.
            const double angle = static_cast<float>(places_[place].position) * shape.rope_frequencies[i];
            cosines_[place * num_pairs + i] = static_cast<float>(std::cos(angle)) * shape.rope_scale;
            sines_[place * num_pairs + i] = static_cast<float>(std::sin(angle)) * shape.rope_scale;
        }
    }
}

size_t Forward::block_of(const Place& place) const {
    return static_cast<size_t>(chunks_[place.chunk].blocks[place.position / kBlockTokens]);
}

Inputs Forward::norm_inputs(unsigned thread, OutputRows& x, size_t num_rows, std::span<const size_t> rows,
                            const std::vector<float>& norm, std::span<const Panels* const> weights,
                            const Adapted& adapted) {
    const ModelShape& shape = model_.shape();
    const bool is_few = num_rows <= kFewRows;
    InputRows& normed = is_few ? own_normed_[thread] : normed_;
    const auto [begin, end] = is_few ? Range{0, num_rows} : share(thread, num_rows);
    for (size_t i = begin; i < end; ++i) {
        kernels_.rms_norm(x.row(rows.empty() ? i : rows[i]), norm.data(), shape.hidden_size, normed.stride(),
                          shape.rms_norm_eps, normed.row(i));
        normed.prepare(weights, i);
    }
    shrink(thread, adapted, normed.rows(num_rows), {begin, end});
    if (!is_few) {
        barrier();
    }
    return normed.rows(num_rows);
}

void Forward::multiply(unsigned thread, std::span<const Target> targets, const Inputs& inputs, bool adds,
                       const Adapted& adapted) {
    size_t total = 0;
    for (const Target& target : targets) {
        total += target.linear->weight.num_bytes();
    }
    const auto [begin, end] = share(thread, total);
    size_t before = 0;
    for (size_t matrix = 0; matrix < targets.size(); ++matrix) {
        const Target& target = targets[matrix];
        const Panels& weight = target.linear->weight;
        const auto first_from = [&](size_t byte) {
            const size_t panels =
                byte <= before ? 0 : (byte - before + weight.panel_stride() - 1) / weight.panel_stride();
            return std::min(panels, weight.num_panels());
        };
        const size_t first = first_from(begin);
        const size_t last = first_from(end);
        float* const out = target.out + first * kPanelRows;
        multiply_panels(thread, *target.linear, first, last, inputs, out, target.stride, adds);
        expand(thread, adapted, matrix, first, last, out, target.stride);
        before += weight.num_bytes();
    }
}

void Forward::multiply_panels(unsigned thread, const Linear& linear, size_t begin, size_t end, const Inputs& inputs,
                              float* out, size_t out_stride, bool adds) {
    if (begin >= end || inputs.num_rows == 0) {
        return;
    }
    const Panels& weight = linear.weight;
    const Product product{weight.data() + begin * weight.panel_stride(),
                          weight.panel_stride(),
                          end - begin,
                          weight.num_cols(),
                          linear.bias.empty() ? nullptr : linear.bias.data() + begin * kPanelRows,
                          out,
                          out_stride,
                          adds,
                          scratch_[thread].data()};
    kernels_.multiply[static_cast<size_t>(weight.type())](product, inputs);
}

void Forward::place_heads(unsigned thread, size_t layer) {
    const ModelShape& shape = model_.shape();
    const auto [begin, end] = share(thread, places_.size());
    for (size_t place = begin; place < end; ++place) {
        for (size_t head = 0; head < shape.num_heads; ++head) {
            turn_head(q_.row(place) + head * shape.head_dim, place, layer, model_.layer(layer).q_norm);
        }
        for (size_t head = 0; head < shape.num_key_value_heads; ++head) {
            place_key_value(place, layer, head);
        }
    }
}

// A head of queries or keys is normed where the model asks for it, and turned.
void Forward::turn_head(float* head, size_t place, size_t layer, const std::vector<float>& norm) const {
    const ModelShape& shape = model_.shape();
    const size_t num_pairs = shape.head_dim / 2;
    if (shape.has_qk_norm) {
        norm_head(head, norm);
    }
    if (shape.layers[layer].rotates) {
        kernels_.rotate(head, &cosines_[place * num_pairs], &sines_[place * num_pairs], shape.head_dim);
    }
}

// Key and value of a token go to their block.
void Forward::place_key_value(size_t place, size_t layer, size_t head) {
    const size_t at = head * model_.shape().head_dim;
    float* const key = k_.row(place) + at;
    float* const value = v_.row(place) + at;
    turn_head(key, place, layer, model_.layer(layer).k_norm);
    if (model_.shape().layers[layer].has_value_embeddings) {
        add_embedding(model_.layer(layer).value_embeddings, places_[place].id, at, value);
    }
    kernels_.store_kv(arena_.layout(), arena_.head(block_of(places_[place]), layer, head),
                      places_[place].position % kBlockTokens, key, value);
}

// What the table has for the token is added to a head of values, which begins at column `at`.
void Forward::add_embedding(const Table& table, int32_t id, size_t at, float* value) const {
    std::array<float, kMaxHeadDim> row;
    const size_t dim = model_.shape().head_dim;
    expand_row(table.type, table.row(id) + row_bytes(table.type, at), dim, row.data());
    for (size_t i = 0; i < dim; ++i) {
        value[i] += row[i];
    }
}

void Forward::norm_head(float* head, const std::vector<float>& norm) const {
    alignas(64) std::array<float, kMaxHeadDim> padded{};
    const size_t dim = model_.shape().head_dim;
    std::copy_n(head, dim, padded.begin());
    kernels_.rms_norm(padded.data(), norm.data(), dim, norm.size(), model_.shape().rms_norm_eps, padded.data());
    std::copy_n(padded.begin(), dim, head);
}

// silu(gate) * up, by columns, which are prepared for the next product where they are made: groups of 32 stay together.
void Forward::multiply_gated(unsigned thread, const Layer& layer, const Inputs& inputs, const Adapted& adapted) {
    const std::array weights{&layer.down.weight};
    constexpr size_t kPanelsOfGroup = kGroupCols / kPanelRows;
    const size_t num_panels = layer.gate.weight.num_panels();
    const auto [begin, end] = share(thread, (num_panels + kPanelsOfGroup - 1) / kPanelsOfGroup);
    const size_t step = gated_panels(inputs.num_rows);
    const size_t stride = step * kPanelRows;
    float* const gates = gates_[thread].data();
    float* const ups = gates + inputs.num_rows * stride;
    for (size_t first = begin * kPanelsOfGroup; first < end * kPanelsOfGroup; first += step) {
        const size_t last = std::min({first + step, end * kPanelsOfGroup, num_panels});
        multiply_panels(thread, layer.gate, first, last, inputs, gates, stride, false);
        multiply_panels(thread, layer.up, first, last, inputs, ups, stride, false);
        expand(thread, adapted, 0, first, last, gates, stride);
        expand(thread, adapted, 1, first, last, ups, stride);
        const size_t col = first * kPanelRows;
        const size_t num_cols = (last - first) * kPanelRows;
        const size_t num_padded = round_up(num_cols, kGroupCols);
        for (size_t row = 0; row < inputs.num_rows; ++row) {
            float* const gate = gates + row * stride;
            kernels_.swiglu(gate, ups + row * stride, num_cols);
            std::fill(gate + num_cols, gate + num_padded, 0.0f);
            gated_.prepare(weights, row, col, col + num_padded, gate);
            if (!adapted.runs.empty()) {
                std::copy_n(gate, num_padded, gated_.row(row) + col);  // adapters multiply floats
            }
        }
    }
}

// How many are taken at once: all for few rows.
size_t Forward::gated_panels(size_t num_rows) const {
    const size_t num_panels = round_up(model_.shape().intermediate_size, kGroupCols) / kPanelRows;
    return num_rows <= kFewRows ? num_panels : std::min(num_panels, kGatedPanels);
}

void Forward::multiply_head(unsigned thread, bool narrowed, float* logits, size_t stride) {
    const std::array weights{&model_.head().weight};
    const auto rows = narrowed ? std::span<const size_t>() : std::span<const size_t>(logit_rows_);
    const Inputs inputs =
        norm_inputs(thread, narrowed ? last_x_ : x_, logit_rows_.size(), rows, model_.final_norm(), weights, {});
    multiply(thread, std::array{Target{&model_.head(), logits, stride}}, inputs, false, {});
}

void Forward::write_states(unsigned thread, bool narrowed, float* states, size_t stride) {
    const ModelShape& shape = model_.shape();
    const auto [begin, end] = share(thread, logit_rows_.size());
    for (size_t i = begin; i < end; ++i) {
        const float* const x = narrowed ? last_x_.row(i) : x_.row(logit_rows_[i]);
        kernels_.rms_norm(x, model_.final_norm().data(), shape.hidden_size, stride, shape.rms_norm_eps,
                          states + i * stride);
    }
}

}  // namespace textmill::engine
