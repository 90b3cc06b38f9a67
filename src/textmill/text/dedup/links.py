"""Near duplicates as they were found: which documents have any, and which of these lead to one another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill import _core


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Links:
    """Documents that pairs of near duplicates join.

    Attributes:
        documents: int64[m], ascending: those of a pair.
        groups: int64[m]: the number of each one's group, 0 to num_groups - 1, in the order of their first documents.
        num_pairs: pairs of near duplicates.
        num_verified: pairs that were compared.
        num_not_compared: times that a document of a group was left, since the group had too many leaders.
    """

    documents: NDArray[np.int64]
    groups: NDArray[np.int64]
    num_pairs: int
    num_verified: int
    num_not_compared: int

    @classmethod
    def none(cls) -> Links:
        """No pairs at all."""
        nothing = np.empty(0, np.int64)
        return cls(documents=nothing, groups=nothing, num_pairs=0, num_verified=0, num_not_compared=0)


def joined_by(pairs: NDArray[np.int64], num_documents: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the documents of pairs, int64[n, 2], ascending, and the number of each one's group."""
    least = _core.linked_groups(pairs, num_documents)
    is_linked = np.zeros(num_documents, np.bool_)
    is_linked[pairs[:, 0]] = True
    is_linked[pairs[:, 1]] = True
    documents = np.flatnonzero(is_linked)
    least = least[documents]
    return documents, np.searchsorted(documents[least == documents], least)
