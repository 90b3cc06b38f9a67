"""Documents that share a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Groups of two documents and more.

    Attributes:
        members: int64[m], group after group, ascending in each.
        starts: int64[num_groups + 1]: where each begins.
    """

    members: NDArray[np.int64]
    starts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The number of each member's group, int64[m]."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))


def same_keys(keys: NDArray[Any], documents: NDArray[np.int64]) -> Groups:
    """Group documents by their keys, [n, k]; groups stand in the order of their keys.

    Most keys are nobody else's: one quick sort by the first column finds the few rows that have to be looked at.
    """
    order = np.argsort(keys[:, 0])
    first = keys[order, 0]
    same = first[1:] == first[:-1]
    shared = np.zeros(len(order), np.bool_)
    shared[1:] |= same
    shared[:-1] |= same
    chosen = order[shared]
    keys, documents = keys[chosen], documents[chosen]
    order = np.lexsort((documents, *keys.T[::-1]))
    keys, documents = keys[order], documents[order]
    begins = np.ones(len(keys), np.bool_)
    begins[1:] = (keys[1:] != keys[:-1]).any(axis=1)
    starts = np.append(np.flatnonzero(begins), len(keys))
    sizes = np.diff(starts)
    members = documents[np.repeat(sizes > 1, sizes)]
    return Groups(members, np.concatenate(([0], np.cumsum(sizes[sizes > 1]))))
