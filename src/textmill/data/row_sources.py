"""The rows of one source: which of its tokens stand in the rows of an epoch, and in which order they come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from textmill.data.fill_in_the_middle import FillInTheMiddle
from textmill.data.packing_table import PackingTable
from textmill.data.permutation import hash_key, permute
from textmill.data.shards import ShardSet
from textmill.text.token_stream import RowPlan


class RowSource(Protocol):
    """Makes rows of one source."""

    @property
    def shards(self) -> ShardSet:
        """The source's tokens."""
        ...

    @property
    def num_rows(self) -> int:
        """Rows of an epoch."""
        ...

    def plan(self, epoch: int, within: NDArray[np.int64]) -> RowPlan:
        """Say what the rows at the places ``within`` of an epoch are made of, int64[n] in [0, num_rows)."""
        ...


@dataclass(slots=True)
class ConcatenatedRows:
    """Windows of the stream, side by side; every epoch cuts at another place and takes them in another order.

    Each of its targets is the token after its input, so a window's first token is only an input.

    Attributes:
        is_cut: whether documents are segments of their own, or the whole row is one.
    """

    shards: ShardSet
    source: str
    context: int
    seed: int
    is_cut: bool
    num_rows: int = field(init=False)

    def __post_init__(self) -> None:
        # One window less than would fit leaves room to begin each epoch's cut at another place.
        self.num_rows = max(1, (self.shards.num_tokens - 1) // self.context - 1)

    def plan(self, epoch: int, within: NDArray[np.int64]) -> RowPlan:
        """Plan windows; see ``RowSource``."""
        spare = self.shards.num_tokens - 1 - self.num_rows * self.context
        shift = hash_key(self.seed, self.source, epoch, "shift") % (min(spare, self.context - 1) + 1)
        window = permute(within, self.num_rows, hash_key(self.seed, self.source, epoch, "order"))
        begins = shift + window * self.context + 1
        end = self.shards.manifest.document_end
        if self.is_cut:
            return RowPlan.of_pieces(*self.shards.index.pieces(begins, begins + self.context), document_end=end)
        lengths = np.full(len(begins), self.context)
        return RowPlan.of_pieces(np.arange(len(begins) + 1), begins, lengths, end)


@dataclass(slots=True)
class PackedRows:
    """Rows of a packing table, in another order every epoch. Every token of the set is a target once an epoch."""

    shards: ShardSet
    source: str
    table: PackingTable
    seed: int
    fill_in_the_middle: FillInTheMiddle | None = None

    @property
    def num_rows(self) -> int:
        """Rows of an epoch."""
        return self.table.num_rows

    def plan(self, epoch: int, within: NDArray[np.int64]) -> RowPlan:
        """Plan rows; see ``RowSource``."""
        order = hash_key(self.seed, self.source, epoch, "order")
        pieces = self.table.pieces(permute(within, self.num_rows, order))
        end = self.shards.manifest.document_end
        plan = RowPlan.of_pieces(pieces.row_pieces, pieces.places, pieces.lengths, end)
        if self.fill_in_the_middle is None:
            return plan
        has_end = self.shards.index.ends_document(pieces.places + pieces.lengths - 1)
        key = hash_key(self.seed, self.source, epoch, "fill-in-the-middle")
        return self.fill_in_the_middle.reorder(plan, pieces.is_reordered, has_end, document_end=end, key=key)
