"""Fill-in-the-middle (arXiv:2207.14255): some documents are told out of order, so that a model learns to fill gaps.

What a row holds of a chosen document is cut at two of its tokens, and its parts change places (§3):

    PSM    PREFIX prefix SUFFIX suffix MIDDLE middle
    SPM    PREFIX SUFFIX suffix MIDDLE prefix middle

This is done in a row, piece by piece, so that no piece is torn by a row's end; packing leaves room for the three
sentinels. The cuts lie between tokens: cuts between characters, which the paper prefers, change how many tokens there
are, and would have to be made before the text is tokenized.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import ConfigError
from textmill.data.permutation import hash_key, keyed_numbers
from textmill.text.token_stream import RowPlan

NUM_SENTINELS = 3
_SPANS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class FillInTheMiddle:
    """How often, and with which ids.

    Attributes:
        rate: the share of documents that are told out of order, 0 to 1.
        prefix_id, suffix_id, middle_id: the sentinels.
        spm_rate: the share of these whose suffix comes first.
    """

    rate: float
    prefix_id: int
    suffix_id: int
    middle_id: int
    spm_rate: float = 0.5

    def __post_init__(self) -> None:
        for name in ("rate", "spm_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"fill_in_the_middle.{name} is {getattr(self, name):g}, and must be 0 to 1")

    def chosen(self, documents: NDArray[np.int64], seed: int, source: str) -> NDArray[np.bool_]:
        """Say which documents are told out of order, bool[n]: the same ones in every epoch, whose rows are the same."""
        return _shares(documents, hash_key(seed, source, "fill-in-the-middle")) < self.rate

    def reorder(
        self, plan: RowPlan, chosen: NDArray[np.bool_], has_end: NDArray[np.bool_], *, document_end: int, key: int
    ) -> RowPlan:
        """Tell pieces out of order.

        Args:
            plan: rows whose segments are pieces of one span each.
            chosen: bool[pieces], which of them.
            has_end: bool[pieces], whether a piece's last token is the one that ends its document, which stays last.
            document_end: that token, which stands before each chosen piece too.
            key: 64 bits that choose cuts and orders.
        """
        places, lengths = plan.span_places, plan.span_lengths
        num_tokens = lengths - has_end
        cuts = [(_shares(places, hash_key(key, name)) * (num_tokens + 1)).astype(np.int64) for name in ("a", "b")]
        first, last = np.minimum(*cuts), np.maximum(*cuts)
        is_spm = _shares(places, hash_key(key, "spm")) < self.spm_rate
        prefix, middle = (places, first), (places + first, last - first)
        suffix = (places + last, num_tokens - last)
        end = (places + num_tokens, has_end.astype(np.int64))
        psm = _columns(self.prefix_id, prefix, self.suffix_id, suffix, self.middle_id, middle, end)
        spm = _columns(self.prefix_id, self.suffix_id, suffix, self.middle_id, prefix, middle, end)
        plain = _columns((places, lengths), *[(places, np.zeros_like(lengths))] * (_SPANS - 1))
        spans = np.where(chosen[:, None, None], np.where(is_spm[:, None, None], spm, psm), plain)
        is_there = spans[..., 1] > 0
        return RowPlan(
            plan.row_segments,
            np.concatenate(([0], np.cumsum(is_there.sum(1)))),
            np.where(chosen, -1 - document_end, plan.segment_firsts),
            np.ascontiguousarray(spans[..., 0][is_there]),
            np.ascontiguousarray(spans[..., 1][is_there]),
        )


def _shares(values: NDArray[np.int64], key: int) -> NDArray[np.float64]:
    """Draw a number in [0, 1) for each value."""
    return (keyed_numbers(values, key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _columns(*spans: int | tuple[NDArray[np.int64], NDArray[np.int64]]) -> NDArray[np.int64]:
    """Put spans side by side, int64[pieces, spans, 2] of places and lengths; an id becomes a span of itself."""
    size = next(len(span[0]) for span in spans if not isinstance(span, int))
    pairs = [
        np.stack([np.full(size, -1 - span), np.ones(size, np.int64)] if isinstance(span, int) else span, axis=1)
        for span in spans
    ]
    return np.stack(pairs, axis=1)
