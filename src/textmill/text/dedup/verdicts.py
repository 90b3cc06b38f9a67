"""What became of the documents of a unit: a numpy file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.base.files import new_file
from textmill.text.dedup.clusters import Clusters


@dataclass(frozen=True, slots=True, eq=False)
class UnitVerdict:
    """The documents of a unit after deduplication.

    Attributes:
        cluster_sizes: uint32[n]: how many documents each one that stays stands for, 1 where it has no duplicate; 0 for
            those that are dropped.
    """

    cluster_sizes: NDArray[np.uint32]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which documents stay; returns bool[n]."""
        return self.cluster_sizes > 0


def verdict_file(folder: Path, unit: int) -> Path:
    """Name a unit's file of cluster sizes, uint32[n], by its number in the call of ``find_duplicates``."""
    return folder / f"{unit:08d}.npy"


def write_verdict(folder: Path, unit: int, clusters: Clusters, begin: int, end: int) -> None:
    """Write what became of the documents from ``begin`` up to ``end``, a unit's."""
    sizes = np.ones(end - begin, np.uint32)
    first, last = np.searchsorted(clusters.kept, (begin, end))
    sizes[clusters.kept[first:last] - begin] = clusters.sizes[first:last]
    first, last = np.searchsorted(clusters.dropped, (begin, end))
    sizes[clusters.dropped[first:last] - begin] = 0
    with new_file(verdict_file(folder, unit), sync=False) as file:
        np.save(file, sizes)


def read_verdict(folder: Path, unit: int) -> UnitVerdict:
    """Read what became of a unit's documents, by the unit's number in the call of ``find_duplicates``."""
    return UnitVerdict(np.load(verdict_file(folder, unit)))
