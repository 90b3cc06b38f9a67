// Documents into rows with little padding and nothing cut but what is longer than a row (arXiv:2404.10830 §3).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace textmill::text {

// Pieces of documents, by row.
struct PackedRows {
    std::vector<int64_t> row_pieces;  // rows + 1: pieces before each row
    std::vector<int64_t> documents;   // of each piece
    std::vector<int64_t> offsets;     // where in its document each piece begins
    std::vector<int64_t> lengths;
};

// Cuts documents into pieces that fill a row, and packs what is left over best-fit-decreasing: the longest first, into
// the row with the least space that holds it (of equal ones the one that got there last), or into a new one. A piece
// takes its document's `overheads` of tokens beside its own. First come the full pieces, a row each; in a packed row
// pieces stand in the order of their documents.
// Throws std::invalid_argument for a length below 0, or an overhead that leaves no room in a row.
PackedRows pack_best_fit(std::span<const int64_t> lengths, std::span<const uint8_t> overheads, int64_t context);

}  // namespace textmill::text
