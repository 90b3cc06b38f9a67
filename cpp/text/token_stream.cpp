#include "text/token_stream.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <string>

namespace textmill::text {
namespace {

template <typename Token>
Token token_at(const uint8_t* bytes) {
    Token token = 0;
    if constexpr (std::endian::native == std::endian::little) {
        std::memcpy(&token, bytes, sizeof(Token));
    } else {
        for (size_t i = 0; i < sizeof(Token); ++i) {
            token = static_cast<Token>(token | static_cast<Token>(bytes[i]) << (8 * i));
        }
    }
    return token;
}

template <typename Token>
void widen(const uint8_t* bytes, size_t num_tokens, int64_t* out) {
    for (size_t i = 0; i < num_tokens; ++i) {
        out[i] = token_at<Token>(bytes + i * sizeof(Token));
    }
}

void check_plan(const RowPlan& plan) {
    const auto rises = [](std::span<const int64_t> ends, size_t total) {
        return !ends.empty() && ends.front() == 0 && static_cast<size_t>(ends.back()) == total &&
               std::is_sorted(ends.begin(), ends.end());
    };
    const size_t num_segments = plan.segment_firsts.size();
    const size_t num_spans = plan.span_places.size();
    if (!rises(plan.row_segments, num_segments) || plan.segment_spans.size() != num_segments + 1 ||
        !rises(plan.segment_spans, num_spans) || plan.span_lengths.size() != num_spans) {
        throw std::invalid_argument("the arrays of a plan of rows do not fit one another");
    }
}

}  // namespace

TokenStream::TokenStream(CheckedFiles& files, size_t token_bytes) : files_(files), token_bytes_(token_bytes) {
    if (token_bytes != 2 && token_bytes != 4) {
        throw std::invalid_argument("a token has 2 or 4 bytes, not " + std::to_string(token_bytes));
    }
    starts_.push_back(0);
    for (size_t file = 0; file < files.num_files(); ++file) {
        starts_.push_back(starts_.back() + static_cast<int64_t>(files.bytes(file).size() / token_bytes));
    }
}

template <typename Visit>
void TokenStream::visit_files(int64_t start, int64_t length, const Visit& visit) const {
    if (start < 0 || length < 0 || start > num_tokens() - length) {
        throw std::out_of_range("the stream has " + std::to_string(num_tokens()) + " tokens, and no " +
                                std::to_string(length) + " at " + std::to_string(start));
    }
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), start);
    for (auto file = static_cast<size_t>(after - starts_.begin() - 1); length > 0; ++file) {
        const int64_t num_here = std::min(length, starts_[file + 1] - start);
        const size_t begin = static_cast<size_t>(start - starts_[file]) * token_bytes_;
        if (num_here > 0 && !visit(file, begin, begin + static_cast<size_t>(num_here) * token_bytes_)) {
            return;
        }
        start += num_here;
        length -= num_here;
    }
}

std::optional<DamagedBlock> TokenStream::copy(int64_t start, int64_t length, int64_t* out) {
    std::optional<DamagedBlock> damage;
    visit_files(start, length, [&](size_t file, size_t begin, size_t end) {
        damage = files_.check(file, begin, end);
        if (damage) {
            return false;
        }
        const uint8_t* const bytes = files_.bytes(file).data() + begin;
        const size_t num_tokens = (end - begin) / token_bytes_;
        token_bytes_ == 2 ? widen<uint16_t>(bytes, num_tokens, out) : widen<uint32_t>(bytes, num_tokens, out);
        out += num_tokens;
        return true;
    });
    return damage;
}

void TokenStream::expect(const RowPlan& plan) const {
    for (size_t span = 0; span < plan.span_places.size(); ++span) {
        if (plan.span_places[span] >= 0) {
            visit_files(plan.span_places[span], plan.span_lengths[span], [&](size_t file, size_t begin, size_t end) {
                files_.expect(file, begin, end);
                return true;
            });
        }
    }
}

std::optional<DamagedBlock> TokenStream::copy_span(int64_t place, int64_t length, int64_t* out) {
    if (place >= 0) {
        return copy(place, length, out);
    }
    *out = -1 - place;
    return std::nullopt;
}

std::optional<DamagedBlock> TokenStream::gather(const RowPlan& plan, int64_t context, int64_t padding,
                                                bool with_segments, TokenRows& rows) {
    check_plan(plan);
    if (files_.may_wait()) {
        expect(plan);
    }
    const size_t num_rows = plan.row_segments.size() - 1;
    const auto width = static_cast<size_t>(context);
    rows.inputs.assign(num_rows * width, padding);
    rows.targets.assign(num_rows * width, kIgnored);
    rows.positions.resize(with_segments ? num_rows * width : 0);
    rows.segments.resize(with_segments ? num_rows * width : 0);
    for (size_t row = 0; row < num_rows; ++row) {
        size_t at = row * width;
        const size_t row_end = at + width;
        int32_t number = 0;
        const auto end_segment = [&](size_t begin, size_t end) {
            if (with_segments) {
                std::iota(rows.positions.begin() + static_cast<ptrdiff_t>(begin),
                          rows.positions.begin() + static_cast<ptrdiff_t>(end), 0);
                std::fill(rows.segments.begin() + static_cast<ptrdiff_t>(begin),
                          rows.segments.begin() + static_cast<ptrdiff_t>(end), number++);
            }
        };
        const auto last_segment = static_cast<size_t>(plan.row_segments[row + 1]);
        for (auto segment = static_cast<size_t>(plan.row_segments[row]); segment < last_segment; ++segment) {
            const size_t begin = at;
            const auto last_span = static_cast<size_t>(plan.segment_spans[segment + 1]);
            for (auto span = static_cast<size_t>(plan.segment_spans[segment]); span < last_span; ++span) {
                const int64_t length = plan.span_places[span] < 0 ? 1 : plan.span_lengths[span];
                if (length < 0 || static_cast<size_t>(length) > row_end - at) {
                    throw std::invalid_argument("row " + std::to_string(row) + " has more than " +
                                                std::to_string(context) + " tokens");
                }
                if (const auto damage = copy_span(plan.span_places[span], length, rows.targets.data() + at)) {
                    return damage;
                }
                at += static_cast<size_t>(length);
            }
            if (at > begin) {
                if (const auto damage = copy_span(plan.segment_firsts[segment], 1, rows.inputs.data() + begin)) {
                    return damage;
                }
                std::copy(rows.targets.data() + begin, rows.targets.data() + at - 1, rows.inputs.data() + begin + 1);
            }
            end_segment(begin, at);
        }
        end_segment(at, row_end);
    }
    return std::nullopt;
}

}  // namespace textmill::text
