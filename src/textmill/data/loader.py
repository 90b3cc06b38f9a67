"""The batch of a step as a pure function of (shards, mixture, seed, step): nothing to save, nothing to restore.

Each source's tokens are cut into windows of the context's length. Every epoch cuts at another place and takes the
windows in another order; a row of a batch is the next window of the source that the mixture deals it to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from textmill.base.errors import ConfigError, DataError
from textmill.data.mixture import Mixture
from textmill.data.permutation import hash_key, permute
from textmill.data.shards import ShardSet


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one step.

    Attributes:
        inputs: int64[rows, context] token ids.
        targets: int64[rows, context], the token after each input.
        sources: the name of each row's source.
    """

    inputs: np.ndarray
    targets: np.ndarray
    sources: tuple[str, ...]


class BatchLoader:
    """Makes the batch of any step.

    Args:
        shards: a shard set for each source.
        mixture: a weight for each source.
        rows: rows in a batch.
        context: tokens in a row.
        seed: chooses the order of windows.

    Raises:
        ConfigError: the mixture names a source that has no shards.
        DataError: a source has fewer tokens than one row.
    """

    def __init__(
        self, shards: Mapping[str, ShardSet], mixture: Mapping[str, float], *, rows: int, context: int, seed: int
    ) -> None:
        for name in mixture:
            if name not in shards:
                raise ConfigError(f'the mixture names "{name}", and the sources are {", ".join(shards)}')
        self._mixture = Mixture(mixture)
        self._shards = [shards[name] for name in self._mixture.names]
        self._rows = rows
        self._context = context
        self._seed = seed
        for name, source in zip(self._mixture.names, self._shards, strict=True):
            if source.num_tokens < context + 1:
                raise DataError(
                    f'the source "{name}" has {source.num_tokens} tokens, and a row takes {context + 1}; '
                    "give it more text, or shorten the context"
                )

    @property
    def shares(self) -> dict[str, float]:
        """The share of rows that each source gets."""
        return self._mixture.shares

    def batch(self, step: int) -> Batch:
        """Make the batch of a step, counted from 0."""
        source, place = self._mixture.deal(np.arange(step * self._rows, (step + 1) * self._rows))
        rows = np.stack([self._row(int(s), int(p)) for s, p in zip(source, place, strict=True)])
        names = tuple(self._mixture.names[int(s)] for s in source)
        return Batch(rows[:, :-1], rows[:, 1:], names)

    def _row(self, source: int, place: int) -> np.ndarray:
        """Cut the window that a source gives at a place of its stream; returns int64[context + 1]."""
        shards, name = self._shards[source], self._mixture.names[source]
        # One window less than would fit leaves room to begin each epoch's cut at another place.
        num_windows = max(1, (shards.num_tokens - 1) // self._context - 1)
        spare = shards.num_tokens - 1 - num_windows * self._context
        epoch, within = divmod(place, num_windows)
        shift = hash_key(self._seed, name, epoch, "shift") % (min(spare, self._context - 1) + 1)
        order = hash_key(self._seed, name, epoch, "order")
        window = int(permute(np.array([within]), num_windows, order)[0])
        start = shift + window * self._context
        return shards.tokens(start, start + self._context + 1)
