"""What became of the documents of a unit: two numpy files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.files import new_file
from textmill.text.dedup.clusters import Clusters


@dataclass(frozen=True, slots=True, eq=False)
class UnitVerdict:
    """The documents of a unit after deduplication.

    Attributes:
        kept: bool[n].
        cluster_sizes: uint32[n]: how many documents each one that stays stands for, 1 where it has no duplicate; 0 for
            those that are dropped.
    """

    kept: NDArray[np.bool_]
    cluster_sizes: NDArray[np.uint32]


def verdict_files(folder: Path, unit: int) -> tuple[Path, Path]:
    """Name the files of a unit, by its number in ``find_duplicates``: who stays, bool[n], and sizes, uint32[n]."""
    return folder / f"{unit:08d}.kept.npy", folder / f"{unit:08d}.sizes.npy"


def write_verdict(folder: Path, unit: int, clusters: Clusters, begin: int, end: int) -> None:
    """Write what became of the documents from ``begin`` up to ``end``, a unit's."""
    sizes = np.ones(end - begin, np.uint32)
    first, last = np.searchsorted(clusters.kept, (begin, end))
    sizes[clusters.kept[first:last] - begin] = clusters.sizes[first:last]
    first, last = np.searchsorted(clusters.dropped, (begin, end))
    sizes[clusters.dropped[first:last] - begin] = 0
    arrays: tuple[NDArray[Any], ...] = (sizes > 0, sizes)
    for path, array in zip(verdict_files(folder, unit), arrays, strict=True):
        with new_file(path) as file:
            np.save(file, array)


def read_verdict(folder: Path, unit: int) -> UnitVerdict:
    """Read what became of a unit's documents, by the unit's number in the call of ``find_duplicates``."""
    kept, sizes = verdict_files(folder, unit)
    return UnitVerdict(np.load(kept), np.load(sizes))
