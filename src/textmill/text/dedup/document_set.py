"""The documents of many units, numbered through: the way from a number to what is known of the document."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.text.dedup.keys import UnitKeys
from textmill.text.dedup.stored_keys import StoredKeys
from textmill.text.text_batch import TextBatch

# Keys in memory, or in a file.
Keys = UnitKeys | StoredKeys

# The texts of documents of a unit, by their numbers in it, int64[m], ascending.
ReadTexts = Callable[[int, NDArray[np.int64]], TextBatch]


class DocumentSet:
    """Documents of units, numbered from 0 in the order of the units.

    Args:
        units: the keys of each.
        numbers: what the caller calls each unit.
        read_texts: gives texts of a unit, which it is told by the caller's number.
    """

    def __init__(self, units: Sequence[Keys], numbers: Sequence[int], read_texts: ReadTexts) -> None:
        self.units = units
        self.numbers = numbers
        self.starts = np.cumsum([0, *map(len, units)], dtype=np.int64)
        self._read_texts = read_texts

    def __len__(self) -> int:
        return int(self.starts[-1])

    def place(self, document: int) -> tuple[int, int]:
        """Tell the caller's number of a document's unit, and its number there."""
        unit = int(np.searchsorted(self.starts, document, "right")) - 1
        return self.numbers[unit], document - int(self.starts[unit])

    def scores(self, documents: NDArray[np.int64]) -> NDArray[np.float32]:
        """Look up scores of documents, ascending; returns float32[m], the least number where there is none (NaN)."""
        scores = self._column(documents, lambda unit: unit.scores, np.float32)
        return np.where(np.isnan(scores), np.float32(-np.inf), scores)

    def lengths(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look up the bytes of documents, ascending; returns int64[m]."""
        return self._column(documents, lambda unit: unit.lengths, np.int64)

    def texts(self, documents: NDArray[np.int64]) -> TextBatch:
        """Read texts of documents, ascending."""
        return TextBatch.joined([self._read_texts(self.numbers[unit], own) for unit, own in self._by_unit(documents)])

    def _column(
        self, documents: NDArray[np.int64], column: Callable[[Keys], NDArray[Any]], dtype: type
    ) -> NDArray[Any]:
        parts = [column(self.units[unit])[own] for unit, own in self._by_unit(documents)]
        return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype, copy=False)

    def _by_unit(self, documents: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Yield the index of each unit that has some of ascending documents, with their numbers in it."""
        bounds = np.searchsorted(documents, self.starts)
        for unit in np.flatnonzero(np.diff(bounds)).tolist():
            yield unit, documents[bounds[unit] : bounds[unit + 1]] - self.starts[unit]
