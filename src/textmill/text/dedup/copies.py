"""Exact duplicates of any number of documents, by an external sort of their hashes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.text.dedup.document_set import DocumentSet
from textmill.text.dedup.groups import Groups, same_keys
from textmill.text.dedup.keepers import choose_keepers
from textmill.text.dedup.settings import KeepRule
from textmill.text.dedup.spill import Spill, num_parts_for

_COLUMNS = 3  # two halves of a hash, and the document


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Documents whose bytes another document has that stays.

    Attributes:
        dropped: int64[m], ascending.
        kept: int64[m]: the one that stays, of each.
    """

    dropped: NDArray[np.int64]
    kept: NDArray[np.int64]

    @classmethod
    def none(cls) -> Copies:
        """No copies at all."""
        return cls(np.empty(0, np.int64), np.empty(0, np.int64))


def find_copies(known: DocumentSet, keep: Sequence[KeepRule], file: Path, memory_limit: int) -> Copies:
    """Find documents with the same bytes, within about ``memory_limit`` bytes beside what is found.

    ``file`` must not exist, and is gone afterwards.
    """
    num_parts = num_parts_for(8 * _COLUMNS * len(known), memory_limit)
    dropped, kept = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    with closing(Spill(file, _COLUMNS, num_parts, memory_limit)) as spill:
        for unit, start in zip(known.units, known.starts, strict=False):
            hashes = unit.text_hashes
            rows = np.column_stack((hashes.view(np.int64), start + np.arange(len(unit))))
            spill.add(rows, part_of_key(hashes[:, 0], num_parts))
        for part in range(num_parts):
            rows = spill.load(part)
            groups = same_keys(rows[:, :2], rows[:, 2])
            keepers = np.repeat(_keepers(groups, known, keep), np.diff(groups.starts))
            is_dropped = groups.members != keepers
            dropped.append(groups.members[is_dropped])
            kept.append(keepers[is_dropped])
    all_dropped = np.concatenate(dropped)
    order = np.argsort(all_dropped)
    return Copies(all_dropped[order], np.concatenate(kept)[order])


def _keepers(groups: Groups, known: DocumentSet, keep: Sequence[KeepRule]) -> NDArray[np.int64]:
    return choose_keepers(groups.members, groups.numbers, known, keep)


def part_of_key(keys: NDArray[np.uint64], num_parts: int) -> NDArray[np.int64]:
    """Share keys that are spread evenly over 64 bits out among parts, in their order; returns int64[n]."""
    return ((keys >> np.uint64(32)) * np.uint64(num_parts) >> np.uint64(32)).astype(np.int64)
