"""The tokens of several texts, in two arrays."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill.tokenizer.token_ids import shown


@dataclass(frozen=True, slots=True, eq=False)
class TokenBatch:
    """The tokens of several texts.

    Attributes:
        ids: uint32[num_tokens]: the ids of all texts, one after the other.
        offsets: int64[num_texts + 1]: text i has ids[offsets[i]:offsets[i + 1]].
    """

    ids: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.uint32]:
        try:
            place = operator.index(index)
        except TypeError:
            raise TypeError(
                f"a TokenBatch gives one text at a time, by its number, and the index is a {type(index).__name__}; "
                "several are [batch[i] for i in range(...)]"
            ) from None
        if not -len(self) <= place < len(self):
            raise IndexError(f"text {shown(place)} of {len(self)}")
        place %= len(self)
        return self.ids[self.offsets[place] : self.offsets[place + 1]]

    def __iter__(self) -> Iterator[NDArray[np.uint32]]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TokenBatch):
            return NotImplemented
        return np.array_equal(self.ids, other.ids) and np.array_equal(self.offsets, other.offsets)

    __hash__ = None  # type: ignore[assignment]

    def tolist(self) -> list[list[int]]:
        """Return a list of ids for each text."""
        return [ids.tolist() for ids in self]
