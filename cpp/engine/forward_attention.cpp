// The attention of a forward pass: how it is shared out, and how its parts are joined.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "engine/forward.h"

namespace textmill::engine {
namespace {

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// The first token of a text that a token at `position` sees.
size_t first_seen_by(size_t position, size_t window) {
    return window != 0 && position + 1 > window ? position + 1 - window : 0;
}

void run_split(const Kernels& kernels, KvType type, size_t split, AttentionTask& task) {
    task.split_begin = split * kSplitTokens;
    task.split_end = task.split_begin + kSplitTokens;
    kernels.attend[static_cast<size_t>(type)](task);
}

}  // namespace

void Forward::plan_attention(std::span<const Chunk> chunks) {
    items_.clear();
    split_partials_.clear();
    size_t num_partials = 0;
    const auto num_heads = static_cast<uint32_t>(model_.shape().num_key_value_heads);
    for (uint32_t chunk = 0; chunk < chunks.size(); ++chunk) {
        const size_t num_tokens = chunks[chunk].ids.size();
        const bool is_few = num_tokens <= kFewTokens;
        split_partials_.push_back(is_few ? num_partials : kAllSplits);
        const size_t num_splits = is_few ? (chunks[chunk].start + num_tokens + kSplitTokens - 1) / kSplitTokens : 1;
        const size_t step = is_few ? num_tokens : tile_tokens_;
        for (uint32_t head = 0; head < num_heads; ++head) {
            for (size_t token = 0; token < num_tokens; token += step) {
                const size_t here = std::min(step, num_tokens - token);
                for (size_t split = 0; split < num_splits; ++split) {
                    items_.push_back({chunk, head, token, here, is_few ? split : kAllSplits, num_partials});
                    num_partials += is_few ? here * model_.shape().group() : 0;
                }
            }
        }
    }
    partials_.resize(std::max(partials_.size(), num_partials * partial_size_));
    // The longest first, so that no thread is left with one at the end.
    std::stable_sort(items_.begin(), items_.end(), [&](const AttentionItem& a, const AttentionItem& b) {
        const auto work = [&](const AttentionItem& item) {
            return item.split == kAllSplits ? chunks[item.chunk].start + item.token : 0;
        };
        return work(a) > work(b);
    });
}

void Forward::attend(unsigned thread, size_t layer) {
    for (size_t item = next_item_++; item < items_.size(); item = next_item_++) {
        attend_item(items_[item], layer, scratch_[thread].data());
    }
}

void Forward::attend_item(const AttentionItem& item, size_t layer, uint8_t* scratch) {
    const ModelShape& shape = model_.shape();
    const Chunk& chunk = chunks_[item.chunk];
    const size_t first_place = first_place_[item.chunk] + item.token;
    const size_t group = shape.group();
    const size_t num_rows = item.num_tokens * group;
    const size_t first_position = chunk.start + item.token;
    const size_t window = shape.layers[layer].window;
    const size_t num_seen = first_position + item.num_tokens;
    const size_t first_seen = first_seen_by(first_position, window);
    auto* const partials =
        reinterpret_cast<float*>(scratch + attention_scratch_bytes(num_rows, arena_.layout().padded_dim()));
    AttentionTask task{.queries = q_.row(first_place) + item.head * group * shape.head_dim,
                       .query_stride = q_.stride(),
                       .num_tokens = item.num_tokens,
                       .group = group,
                       .head_dim = shape.head_dim,
                       .scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim)),
                       .first_position = first_position,
                       .window = window,
                       .blocks = arena_.head(0, layer, item.head),
                       .block_stride = arena_.block_bytes(),
                       .table = chunk.blocks.data(),
                       .split_begin = 0,
                       .split_end = 0,
                       .scratch = scratch,
                       .partials = partials};
    if (item.split != kAllSplits) {
        task.partials = partials_.data() + item.partials * partial_size_;
        return attend_split(item, layer, task, partials);
    }
    float* const sums = partials + num_rows * partial_size_;
    std::fill_n(sums, num_rows * partial_size_, 0.0f);
    for (size_t row = 0; row < num_rows; ++row) {
        sums[row * partial_size_] = kMinusInfinity;
    }
    for (size_t split = first_seen / kSplitTokens; split * kSplitTokens < num_seen; ++split) {
        run_split(kernels_, arena_.layout().type, split, task);
        for (size_t row = 0; row < num_rows; ++row) {
            kernels_.fold(sums + row * partial_size_, partials + row * partial_size_, arena_.layout().padded_dim());
        }
    }
    for (size_t row = 0; row < num_rows; ++row) {
        const size_t head = item.head * group + row % group;
        kernels_.divide(sums + row * partial_size_, shape.head_dim,
                        attended_.row(first_place + row / group) + head * shape.head_dim);
    }
}

// One split of a chunk of few tokens. Where there are few rows in all, nobody has turned the heads before: the queries
// are turned here, beside the others', and the keys of this split's own tokens.
void Forward::attend_split(const AttentionItem& item, size_t layer, AttentionTask& task, float* turned) {
    const size_t begin = item.split * kSplitTokens;
    if (is_few_) {
        const size_t first_place = first_place_[item.chunk];
        const size_t width = task.group * task.head_dim;
        for (size_t token = 0; token < item.num_tokens; ++token) {
            const size_t place = first_place + token;
            const size_t position = task.first_position + token;
            if (position >= begin && position < begin + kSplitTokens) {
                place_key_value(place, layer, item.head);
            }
            float* const queries = turned + token * width;
            std::copy_n(task.queries + token * task.query_stride, width, queries);
            for (size_t i = 0; i < task.group; ++i) {
                turn_head(queries + i * task.head_dim, place, layer, model_.layer(layer).q_norm);
            }
        }
        task.queries = turned;
        task.query_stride = width;
    }
    if (begin + kSplitTokens > first_seen_by(task.first_position, task.window)) {
        run_split(kernels_, arena_.layout().type, item.split, task);
        return;
    }
    for (size_t row = 0; row < item.num_tokens * task.group; ++row) {
        task.partials[row * partial_size_] = kMinusInfinity;
    }
}

// What attention gave, prepared for the product that follows: all rows, or those with logits where it narrows.
Inputs Forward::finish_attention(unsigned thread, size_t layer, bool narrows, const Adapted& adapted) {
    if (thread == 0) {
        next_item_.store(0, std::memory_order_relaxed);
    }
    const std::array weights{&model_.layer(layer).o.weight};
    auto* const sum = reinterpret_cast<float*>(scratch_[thread].data());
    InputRows& attended = is_few_ ? own_attended_[thread] : narrows ? last_attended_ : attended_;
    const size_t num_rows = narrows ? logit_rows_.size() : places_.size();
    const auto [begin, end] = is_few_ ? Range{0, num_rows} : share(thread, num_rows);
    for (size_t row = begin; row < end; ++row) {
        const size_t place = narrows ? logit_rows_[row] : row;
        if (narrows) {
            std::copy_n(x_.row(place), x_.stride(), last_x_.row(row));
            std::copy_n(attended_.row(place), attended_.stride(), attended.row(row));
        }
        if (split_partials_[places_[place].chunk] != kAllSplits) {
            fold_splits(place, sum, attended.row(row));
        }
        attended.prepare(weights, row);
    }
    shrink(thread, adapted, attended.rows(num_rows), {begin, end});
    if (!is_few_) {
        barrier();
    }
    return attended.rows(num_rows);
}

// The partial results of a token whose text was shared out by splits, in the order of the text.
void Forward::fold_splits(size_t place, float* sum, float* out) {
    const uint32_t chunk = places_[place].chunk;
    const size_t num_tokens = chunks_[chunk].ids.size();
    const size_t token = place - first_place_[chunk];
    const size_t group = model_.shape().group();
    const size_t dim = model_.shape().head_dim;
    const size_t num_splits = (chunks_[chunk].start + num_tokens + kSplitTokens - 1) / kSplitTokens;
    for (size_t head = 0; head < model_.shape().num_heads; ++head) {
        sum[0] = kMinusInfinity;
        for (size_t split = 0; split < num_splits; ++split) {
            const size_t task = head / group * num_splits + split;
            const size_t row = split_partials_[chunk] + (task * num_tokens + token) * group + head % group;
            kernels_.fold(sum, partials_.data() + row * partial_size_, arena_.layout().padded_dim());
        }
        kernels_.divide(sum, dim, out + head * dim);
    }
}

}  // namespace textmill::engine
