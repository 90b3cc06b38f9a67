// The tokens of several files as one stream, and rows for training gathered from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "text/checked_files.h"

namespace textmill::text {

// What rows are made of. A row is segments (what may attend to itself), a segment is spans of tokens.
// A place is a token's number in the stream; -1 - id stands for an id that is in no stream.
struct RowPlan {
    std::span<const int64_t> row_segments;    // rows + 1: segments before each row
    std::span<const int64_t> segment_spans;   // segments + 1: spans before each segment
    std::span<const int64_t> segment_firsts;  // the place of the token that stands before each segment
    std::span<const int64_t> span_places;     // where each span begins; it has one token where that is below 0
    std::span<const int64_t> span_lengths;
};

// Rows of `context` tokens, one after the other.
struct TokenRows {
    std::vector<int64_t> inputs;
    std::vector<int64_t> targets;
    std::vector<int32_t> positions;
    std::vector<int32_t> segments;
};

class TokenStream {
  public:
    static constexpr int64_t kIgnored = -100;  // the target of padding

    // Tokens are little-endian numbers of 2 or 4 bytes. The files must outlive this.
    TokenStream(CheckedFiles& files, size_t token_bytes);

    int64_t num_tokens() const { return starts_.back(); }

    // Copies the tokens [start, start + length) to `out`, unless a block of them is damaged.
    // Throws std::out_of_range where the stream has no such tokens.
    std::optional<DamagedBlock> copy(int64_t start, int64_t length, int64_t* out);

    // Targets are the segments' tokens, inputs the token before each: the segment's first one, then its targets. The
    // rest of a row is padding, a segment of its own. Positions count from 0 in each segment.
    std::optional<DamagedBlock> gather(const RowPlan& plan, int64_t context, int64_t padding, bool with_segments,
                                       TokenRows& rows);

  private:
    // Calls visit(file, begin, end), in bytes, for the stretches of files that hold tokens, while it returns true.
    template <typename Visit>
    void visit_files(int64_t start, int64_t length, const Visit& visit) const;
    void expect(const RowPlan& plan) const;
    std::optional<DamagedBlock> copy_span(int64_t place, int64_t length, int64_t* out);

    CheckedFiles& files_;
    size_t token_bytes_;
    std::vector<int64_t> starts_;  // the first token of each file, and the end
};

}  // namespace textmill::text
