"""The tokens of several files as one stream, and rows for training gathered from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.text.checked_files import CheckedFiles

IGNORED = -100


@dataclass(frozen=True, slots=True, eq=False)
class RowPlan:
    """What rows are made of: a row is segments, which attend to nothing but themselves, a segment spans of tokens.

    A place is a token's number in the stream; ``-1 - id`` stands for one token that is in no stream.

    Attributes:
        row_segments: int64[rows + 1], segments before each row.
        segment_spans: int64[segments + 1], spans before each segment.
        segment_firsts: int64[segments], the place of the token that stands before each segment.
        span_places: int64[spans], where each span begins.
        span_lengths: int64[spans], 1 where the place is below 0.
    """

    row_segments: NDArray[np.int64]
    segment_spans: NDArray[np.int64]
    segment_firsts: NDArray[np.int64]
    span_places: NDArray[np.int64]
    span_lengths: NDArray[np.int64]

    @classmethod
    def of_pieces(
        cls, row_pieces: NDArray[np.int64], places: NDArray[np.int64], lengths: NDArray[np.int64], document_end: int
    ) -> RowPlan:
        """Let each piece of text be a segment, and before it stand what stands there in the stream."""
        firsts = np.where(places > 0, places - 1, -1 - document_end)
        return cls(row_pieces, np.arange(len(places) + 1), firsts, places, lengths)


@dataclass(frozen=True, slots=True, eq=False)
class TokenRows:
    """Rows of tokens, all [rows, context].

    Attributes:
        inputs: int64; the token before each target.
        targets: int64; ``IGNORED`` where a row is padded.
        positions: int32, counted from 0 in each segment; [0, context] where they were not asked for.
        segments: int32, numbers of segments in each row; what pads it is the last; or [0, context].
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    positions: NDArray[np.int32]
    segments: NDArray[np.int32]


class TokenStream:
    """Little-endian tokens of ``token_bytes`` bytes each, file after file, every block checked before it is used."""

    def __init__(self, files: CheckedFiles, token_bytes: int) -> None:
        self._files = files
        self._native = _core.TokenStream(files.native, token_bytes)

    def tokens(self, start: int, stop: int) -> NDArray[np.int64]:
        """Copy the tokens [start, stop); raises ``DataError`` where a block of them is damaged."""
        tokens, damage = self._native.tokens(start, stop)
        self._files.refuse(damage)
        return tokens

    def gather(self, plan: RowPlan, *, context: int, padding: int, with_segments: bool) -> TokenRows:
        """Gather rows; raises ``DataError`` where a block of their tokens is damaged.

        Args:
            plan: what rows are made of, ``context`` tokens at most in each.
            context: tokens in a row.
            padding: the id that fills what is left of a row.
            with_segments: make positions and segments too.
        """
        inputs, targets, positions, segments, damage = self._native.gather(
            plan.row_segments,
            plan.segment_spans,
            plan.segment_firsts,
            plan.span_places,
            plan.span_lengths,
            context,
            padding,
            with_segments,
        )
        self._files.refuse(damage)
        return TokenRows(inputs, targets, positions, segments)
