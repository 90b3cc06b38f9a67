"""Documents into rows, best-fit-decreasing, no token dropped and none cut off that a row could hold.

Of arXiv:2404.10830 §3; the search for the row that fits is one for the next bit that is set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill import _core


@dataclass(frozen=True, slots=True, eq=False)
class PackedRows:
    """Pieces of documents, by row.

    Attributes:
        row_pieces: int64[rows + 1], pieces before each row.
        documents: int64[pieces], the document of each piece.
        offsets: int64[pieces], where in its document each piece begins.
        lengths: int64[pieces], its tokens.
    """

    row_pieces: NDArray[np.int64]
    documents: NDArray[np.int64]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]


def pack_best_fit(lengths: NDArray[np.int64], overheads: NDArray[np.uint8], context: int) -> PackedRows:
    """Pack documents into rows.

    Pieces that fill a row are cut off a document's front as long as there are any; they come first, a row each. What
    is left is packed, the longest first, into the row with the least space that holds it (of equal ones the one that
    got there last), or into a new row. In a packed row pieces stand in the order of their documents.

    Args:
        lengths: int64[documents], tokens of each.
        overheads: uint8[documents], what each piece of a document takes beside its tokens.
        context: tokens in a row, more than any overhead.
    """
    return PackedRows(*_core.pack_best_fit(lengths, overheads, context))
