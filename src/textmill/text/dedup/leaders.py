"""Who leads next: of the documents of a group that are unlike its leader, the first is compared with the others.

Refused pairs lie in a file in parts by group, so that of a part's groups alone the next leaders are in memory; and as
documents come in ascending order, a part is read piece by piece, however large its groups are.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.text.dedup.spill import Spill, num_parts_for

_COLUMNS = 3  # the leader, the later document, and the number of their group
_BYTES_OF_A_GROUP = 16  # its number and its next leader


class RefusedPairs:
    """Refused pairs of a round.

    Args:
        path: of a file that must not exist.
        num_groups: groups are numbered from 0.
        memory_limit: bytes.
    """

    def __init__(self, path: Path, num_groups: int, memory_limit: int) -> None:
        self._num_groups = max(1, num_groups)
        num_parts = num_parts_for(_BYTES_OF_A_GROUP * num_groups, memory_limit)
        self._rows = Spill(path, _COLUMNS, num_parts, memory_limit)

    def add(self, rows: NDArray[np.int64]) -> None:
        """Add pairs, int64[n, 3], in any order; their documents come behind those of the calls before."""
        rows = rows[np.argsort(rows[:, 1], kind="stable")]
        self._rows.add(rows, rows[:, 2] * self._rows.num_parts // self._num_groups)

    def with_next_leaders(self) -> Iterator[NDArray[np.int64]]:
        """Yield the pairs with the next leaders of their groups in the place of those that refused them."""
        for part in range(self._rows.num_parts if self._rows.num_rows else 0):
            leaders = _NextLeaders()
            for rows in self._rows.pieces(part):
                yield leaders.pair(rows)

    def close(self) -> None:
        """Forget the pairs."""
        self._rows.close()


class _NextLeaders:
    """The first refused document of each group, as documents come in ascending order."""

    def __init__(self) -> None:
        self._groups = np.empty(0, np.int64)
        self._leaders = np.empty(0, np.int64)

    def pair(self, refused: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pair refused documents, rows of (leader, document, group), with the next leaders of their groups."""
        documents, groups = refused[:, 1], refused[:, 2]
        order = np.lexsort((documents, groups))
        documents, groups = documents[order], groups[order]
        new_groups, firsts = np.unique(groups, return_index=True)
        is_new = ~np.isin(new_groups, self._groups)
        every = np.concatenate((self._groups, new_groups[is_new]))
        leaders = np.concatenate((self._leaders, documents[firsts[is_new]]))
        order = np.argsort(every)
        self._groups, self._leaders = every[order], leaders[order]
        of_document = self._leaders[np.searchsorted(self._groups, groups)]
        return np.column_stack((of_document, documents, groups))[of_document != documents]
