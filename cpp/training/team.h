// Threads that share the pieces of a piece of work.
//
// They are those of torch's own OpenMP where torch is loaded: a second pool would spin beside it for the same cores.
#pragma once

#include <cstddef>

namespace textmill::training {

using PieceCall = void (*)(const void* work, size_t piece, size_t worker);

// each_piece, for whoever has the call already.
void run_pieces(size_t num_threads, size_t num_pieces, PieceCall call, const void* work);

// Calls work(piece, worker) once for each piece below num_pieces and returns when all are done. `worker` is below
// num_threads, and no two calls that run at once have the same: scratch memory goes by it. Which of them takes a piece
// is left open, so what is written for a piece must depend on the piece alone. The work must not throw.
template <typename Work>
void each_piece(size_t num_threads, size_t num_pieces, const Work& work) {
    const PieceCall call = [](const void* self, size_t piece, size_t worker) {
        (*static_cast<const Work*>(self))(piece, worker);
    };
    run_pieces(num_threads, num_pieces, call, &work);
}

}  // namespace textmill::training
