"""The batch of a step as a pure function of (shards, mixture, seed, step): nothing to save, nothing to restore.

A row of a batch is the next row of the source that the mixture deals it to. What the rows of a source are is said in
``row_sources``: windows of its stream, or rows of a packing table, in another order every epoch. Any rank makes its
rows of any batch without the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import ConfigError, DataError
from textmill.data.fill_in_the_middle import FillInTheMiddle
from textmill.data.mixture import Mixture
from textmill.data.packing import open_packing_table
from textmill.data.row_sources import ConcatenatedRows, PackedRows, RowSource
from textmill.data.shards import ShardSet
from textmill.text.token_stream import IGNORED, RowPlan, TokenRows

Packing = Literal["concat", "best-fit"]


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one step.

    Attributes:
        inputs: int64[rows, context] token ids.
        targets: int64[rows, context], the token after each input; -100, which losses leave out, where a row is padded.
        sources: the name of each row's source.
        positions: int32[rows, context], places counted anew in each document; None without document masks.
        segments: int32[rows, context], the number of each token's document in its row (padding is the last): tokens
            attend to those before them with their own number; None without document masks.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    sources: tuple[str, ...]
    positions: NDArray[np.int32] | None = None
    segments: NDArray[np.int32] | None = None

    @property
    def loss_mask(self) -> NDArray[np.bool_]:
        """Where there is something to learn, bool[rows, context]."""
        return self.targets != IGNORED

    @property
    def cumulative_lengths(self) -> NDArray[np.int32]:
        """Where documents begin when all rows stand side by side, and the end: int32[documents + 1].

        Kernels for texts of various lengths ask for these (``cu_seqlens``).
        """
        assert self.positions is not None, "the batch was made without document masks"
        starts = np.flatnonzero(self.positions.reshape(-1) == 0)
        return np.append(starts, self.positions.size).astype(np.int32)


@dataclass(frozen=True, slots=True)
class DealtRows:
    """Rows of a batch that are made together: of one source and one epoch.

    Attributes:
        name: the source's name.
        source: makes its rows.
        epoch: counted from 0.
        rows: int64[n], where they stand in the batch.
        within: int64[n], their places in the epoch.
    """

    name: str
    source: RowSource
    epoch: int
    rows: NDArray[np.int64]
    within: NDArray[np.int64]

    def plan(self) -> RowPlan:
        """Say what the rows are made of."""
        return self.source.plan(self.epoch, self.within)


class BatchLoader:
    """Makes the batch of any step.

    Args:
        shards: a shard set for each source.
        mixture: a weight for each source.
        rows: rows in a batch.
        context: tokens in a row.
        seed: chooses the order of rows.
        packing: ``concat`` cuts the stream of documents into windows; ``best-fit`` cuts no document that a row holds
            (``packing``).
        document_masks: make positions and segments, so that documents do not see one another.
        fill_in_the_middle: tell some documents out of order; needs ``best-fit``.
        starts: how many rows of each source came before step 0, where not none.
        cache: a folder for packing tables of sets whose own cannot be written.

    Raises:
        ConfigError: the mixture names a source that has no shards, or settings do not fit one another.
        DataError: a source has fewer tokens than one row.
    """

    def __init__(
        self,
        shards: Mapping[str, ShardSet],
        mixture: Mapping[str, float],
        *,
        rows: int,
        context: int,
        seed: int,
        packing: Packing = "concat",
        document_masks: bool = False,
        fill_in_the_middle: FillInTheMiddle | None = None,
        starts: Mapping[str, int] | None = None,
        cache: Path | None = None,
    ) -> None:
        for name in mixture:
            if name not in shards:
                raise ConfigError(f'the mixture names "{name}", and the sources are {", ".join(shards)}')
        if fill_in_the_middle is not None and packing != "best-fit":
            raise ConfigError(
                f'fill-in-the-middle makes documents longer, which packing "{packing}" has no room for; '
                'set packing to "best-fit"'
            )
        self.mixture = Mixture(mixture)
        self.rows = rows
        self.context = context
        self._with_masks = document_masks
        self._sources: list[RowSource] = []
        for name in self.mixture.names:
            source = shards[name]
            if packing == "best-fit":
                table = open_packing_table(
                    source, context, seed=seed, fill_in_the_middle=fill_in_the_middle, cache=cache
                )
                self._sources.append(PackedRows(source, name, table, seed, fill_in_the_middle))
                continue
            if source.num_tokens < context + 1:
                raise DataError(
                    f'the source "{name}" has {source.num_tokens} tokens, and a row takes {context + 1}; '
                    "give it more text, or shorten the context"
                )
            self._sources.append(ConcatenatedRows(source, name, context, seed, document_masks))
        self.start_at(starts or {})

    def start_at(self, starts: Mapping[str, int]) -> None:
        """Say how many rows of each source came before step 0; none of those that are not named."""
        self.starts = {name: starts.get(name, 0) for name in self.mixture.names}
        self._starts = np.array(list(self.starts.values()))

    @property
    def shares(self) -> dict[str, float]:
        """The share of rows that each source gets."""
        return self.mixture.shares

    @property
    def rows_per_epoch(self) -> dict[str, int]:
        """How many rows an epoch of each source has."""
        return {name: source.num_rows for name, source in zip(self.mixture.names, self._sources, strict=True)}

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """Make the batch of a step, counted from 0, or a rank's part of it: ``rows / world_size`` rows side by side.

        Raises:
            ConfigError: the rows cannot be shared evenly.
            DataError: tokens of the batch are damaged.
        """
        groups, sources = self._deal(step, rank, world_size)
        rows = self._gather(groups[0]) if len(groups) == 1 else self._join(groups, len(sources))
        names = tuple(self.mixture.names[number] for number in sources)
        if not self._with_masks:
            return Batch(rows.inputs, rows.targets, names)
        return Batch(rows.inputs, rows.targets, names, rows.positions, rows.segments)

    def deal(self, step: int) -> Iterator[DealtRows]:
        """Tell which rows of which sources the batch of a step has."""
        yield from self._deal(step, 0, 1)[0]

    def _deal(self, step: int, rank: int, world_size: int) -> tuple[list[DealtRows], list[int]]:
        if self.rows % world_size:
            raise ConfigError(f"{self.rows} rows cannot be shared by {world_size} ranks; take a multiple of them")
        assert 0 <= rank < world_size, (rank, world_size)
        num_rows = self.rows // world_size
        first = step * self.rows + rank * num_rows
        source, place = self.mixture.deal(np.arange(first, first + num_rows))
        place = place + self._starts[source]
        groups = []
        for number in sorted(set(source.tolist())):
            rows = np.flatnonzero(source == number)
            epochs, within = np.divmod(place[rows], self._sources[number].num_rows)
            for epoch in sorted(set(epochs.tolist())):
                chosen = epochs == epoch
                name = self.mixture.names[number]
                groups.append(DealtRows(name, self._sources[number], epoch, rows[chosen], within[chosen]))
        return groups, source.tolist()

    def _gather(self, group: DealtRows) -> TokenRows:
        shards = group.source.shards
        return shards.stream.gather(
            group.plan(),
            context=self.context,
            padding=shards.manifest.document_end,
            with_segments=self._with_masks,
        )

    def _join(self, groups: list[DealtRows], num_rows: int) -> TokenRows:
        """Make each group's rows, and put them where they stand in the batch."""
        shape, masks_shape = (num_rows, self.context), (num_rows if self._with_masks else 0, self.context)
        joined = TokenRows(
            np.empty(shape, np.int64),
            np.empty(shape, np.int64),
            np.empty(masks_shape, np.int32),
            np.empty(masks_shape, np.int32),
        )
        for group in groups:
            rows = self._gather(group)
            joined.inputs[group.rows] = rows.inputs
            joined.targets[group.rows] = rows.targets
            if self._with_masks:
                joined.positions[group.rows] = rows.positions
                joined.segments[group.rows] = rows.segments
        return joined
