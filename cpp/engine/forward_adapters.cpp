// What adapters add to the products of a forward pass: B (A x), of the rows that are theirs, a run of them at a time.
#include <algorithm>

#include "engine/forward.h"

namespace textmill::engine {
namespace {

// Matrices that share their inputs, at most.
constexpr size_t kMostMatrices = 3;

}  // namespace

void Forward::plan_adapters() {
    adapted_.clear();
    last_adapted_.clear();
    size_t rank = 0;
    const auto note = [&](std::vector<AdaptedRows>& runs, size_t row, const Adapter* adapter) {
        if (adapter == nullptr) {
            return;
        }
        rank = std::max(rank, adapter->rank());
        if (runs.empty() || runs.back().adapter != adapter || runs.back().rows.end != row) {
            runs.push_back({adapter, {row, row}});
        }
        ++runs.back().rows.end;
    };
    for (size_t row = 0; row < places_.size(); ++row) {
        note(adapted_, row, chunks_[places_[row].chunk].adapter);
    }
    for (size_t row = 0; row < logit_rows_.size(); ++row) {
        note(last_adapted_, row, chunks_[places_[logit_rows_[row]].chunk].adapter);
    }
    if (adapted_.empty()) {
        return;
    }
    shrunk_stride_ = kMostMatrices * round_up(rank, kPanelRows);
    const auto reserve = [this](std::vector<float>& values, size_t num_rows) {
        // A row more, as of all inputs (InputRows::reserve).
        values.resize(std::max(values.size(), (num_rows + 1) * shrunk_stride_));
    };
    reserve(shrunk_, places_.size());
    own_shrunk_.resize(pool_.num_threads());
    for (std::vector<float>& own : own_shrunk_) {
        reserve(own, kFewRows);
    }
}

Forward::Adapted Forward::adapted(unsigned thread, size_t layer, Projection first, size_t num_matrices, bool is_last,
                                  bool is_own) {
    const std::span<const AdaptedRows> runs = is_last ? last_adapted_ : adapted_;
    if (runs.empty()) {
        return {};
    }
    return {runs, layer, first, num_matrices, is_own ? own_shrunk_[thread].data() : shrunk_.data()};
}

float* Forward::shrunk_row(const Adapted& adapted, size_t row, size_t matrix) const {
    return adapted.shrunk + row * shrunk_stride_ + matrix * (shrunk_stride_ / kMostMatrices);
}

void Forward::shrink(unsigned thread, const Adapted& adapted, const Inputs& inputs, Range rows) {
    for (const AdaptedRows& run : adapted.runs) {
        const size_t begin = std::max(run.rows.begin, rows.begin);
        const size_t end = std::min(run.rows.end, rows.end);
        for (size_t matrix = 0; begin < end && matrix < adapted.num_matrices; ++matrix) {
            if (const LowRank* const low_rank = run.adapter->find(adapted.layer, adapted.projection(matrix))) {
                const Inputs part{
                    .num_rows = end - begin, .stride = inputs.stride, .values = inputs.values + begin * inputs.stride};
                multiply_panels(thread, low_rank->a, 0, low_rank->a.weight.num_panels(), part,
                                shrunk_row(adapted, begin, matrix), shrunk_stride_, false);
            }
        }
    }
}

void Forward::expand(unsigned thread, const Adapted& adapted, size_t matrix, size_t begin, size_t end, float* out,
                     size_t out_stride) {
    for (const AdaptedRows& run : adapted.runs) {
        if (const LowRank* const low_rank = run.adapter->find(adapted.layer, adapted.projection(matrix))) {
            const Inputs shrunk{.num_rows = run.rows.end - run.rows.begin,
                                .stride = shrunk_stride_,
                                .values = shrunk_row(adapted, run.rows.begin, matrix)};
            multiply_panels(thread, low_rank->b, begin, end, shrunk, out + run.rows.begin * out_stride, out_stride,
                            true);
        }
    }
}

// The product down takes whole rows, of which each thread has made some columns.
void Forward::shrink_gated(unsigned thread, const Adapted& adapted, const Inputs& inputs) {
    if (adapted.runs.empty()) {
        return;
    }
    const bool is_few = inputs.num_rows <= kFewRows;
    shrink(thread, adapted, inputs, is_few ? Range{0, inputs.num_rows} : share(thread, inputs.num_rows));
    if (!is_few) {
        barrier();
    }
}

}  // namespace textmill::engine
