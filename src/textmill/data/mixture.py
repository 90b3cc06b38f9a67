"""Which source each row of each batch comes from: weights kept exactly, as a pure function of the row's number.

Rows are dealt in blocks of 65,536. In a block each source gets its share of rows by largest remainder, spread evenly,
so that any stretch of a run is mixed as the recipe asks, to within about a row a source.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from textmill.base.errors import ConfigError

BLOCK_ROWS = 65_536


class Mixture:
    """Deals rows to sources by weight.

    Args:
        weights: a weight for each source, any positive scale; sources of weight 0 are left out.

    Raises:
        ConfigError: a weight is negative or not finite, or none is above zero.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        for name, weight in weights.items():
            if not (np.isfinite(weight) and weight >= 0):
                raise ConfigError(f'the weight of "{name}" in the mixture is {weight}, and must be 0 or more')
        total = sum(weights.values())
        if total <= 0:
            raise ConfigError("the weights of the mixture are all 0; give at least one source a weight above 0")
        self.names = tuple(name for name, weight in weights.items() if weight > 0)
        self._rows_per_block = _largest_remainder([weights[name] / total for name in self.names], BLOCK_ROWS)
        for name, rows in zip(self.names, self._rows_per_block, strict=True):
            if rows == 0:
                raise ConfigError(
                    f'"{name}" has {weights[name] / total:.1e} of the weight, and the least that is dealt is '
                    f"1 row in {BLOCK_ROWS:,}; raise its weight, or leave it out"
                )
        position = np.concatenate([(np.arange(rows) + 0.5) / rows for rows in self._rows_per_block])
        source = np.repeat(np.arange(len(self.names)), self._rows_per_block)
        order = np.argsort(position, kind="stable")
        self._source = source[order]
        self._rank = np.concatenate([np.arange(rows) for rows in self._rows_per_block])[order]

    @property
    def shares(self) -> dict[str, float]:
        """The share of rows each source gets, as it is dealt."""
        return {name: int(n) / BLOCK_ROWS for name, n in zip(self.names, self._rows_per_block, strict=True)}

    def counts(self, num_rows: int) -> dict[str, int]:
        """Tell how many of the first ``num_rows`` rows each source gets."""
        blocks, rest = divmod(num_rows, BLOCK_ROWS)
        in_rest = np.bincount(self._source[:rest], minlength=len(self.names))
        return {
            name: int(blocks * rows + n)
            for name, rows, n in zip(self.names, self._rows_per_block, in_rest, strict=True)
        }

    def deal(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell the source and the place in it of each row.

        Args:
            rows: int64[n], numbers of rows counted from the start of the run.

        Returns:
            int64[n] indices into ``names``, and int64[n] how many rows of the same source came before each.
        """
        block, place = np.divmod(np.asarray(rows, np.int64), BLOCK_ROWS)
        source = self._source[place]
        return source, block * self._rows_per_block[source] + self._rank[place]


def _largest_remainder(shares: list[float], total: int) -> np.ndarray:
    exact = np.array(shares) * total
    rows = np.floor(exact).astype(np.int64)
    for source in np.argsort(-(exact - rows), kind="stable")[: total - int(rows.sum())]:
        rows[source] += 1
    return rows
