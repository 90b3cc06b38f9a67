"""Rows that may be more than the memory holds: spread over files, each of which is loaded whole later."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from textmill.base.files import storage_errors

# Sorting a part takes a few copies of it.
_COPIES = 6
# Files that are open for writing at once at most; a part may then be larger than wanted.
_MAX_PARTS = 512


def num_parts_for(num_bytes: int, memory_limit: int) -> int:
    """Say into how many parts to spread rows so that one can be sorted within a limit in bytes."""
    return min(_MAX_PARTS, max(1, -(-num_bytes * _COPIES // memory_limit)))


class Spill:
    """Rows of numbers of 64 bits, in parts.

    One part alone stays in memory; several are files in a folder that must not exist.
    """

    def __init__(self, folder: Path, num_columns: int, num_parts: int) -> None:
        self._folder = folder
        self._num_columns = num_columns
        self.num_parts = num_parts
        self.num_rows = 0
        self._rows: list[NDArray[np.int64]] = []
        self._files: dict[int, BinaryIO] = {}
        if num_parts > 1:
            with storage_errors(folder):
                folder.mkdir(parents=True)

    def add(self, rows: NDArray[np.int64], parts: NDArray[np.int64]) -> None:
        """Add rows, int64[n, columns], to the parts that int64[n] names; those of a part keep their order."""
        self.num_rows += len(rows)
        if self.num_parts == 1:
            self._rows.append(rows)
            return
        order = np.argsort(parts, kind="stable")
        ordered = rows[order]
        bounds = np.searchsorted(parts[order], np.arange(self.num_parts + 1))
        with storage_errors(self._folder):
            for part in np.flatnonzero(np.diff(bounds)).tolist():
                if part not in self._files:
                    self._files[part] = self._path(part).open("ab")
                self._files[part].write(ordered[bounds[part] : bounds[part + 1]].data.cast("B"))

    def load(self, part: int) -> NDArray[np.int64]:
        """Read the rows of a part in the order they were added; returns int64[n, columns]."""
        if self.num_parts == 1:
            return np.concatenate([np.empty((0, self._num_columns), np.int64), *self._rows])
        if part not in self._files:
            return np.empty((0, self._num_columns), np.int64)
        with storage_errors(self._folder):
            self._files[part].flush()
        return np.fromfile(self._path(part), np.int64).reshape(-1, self._num_columns)

    def close(self) -> None:
        """Forget the rows."""
        self._rows.clear()
        if self.num_parts > 1:
            for file in self._files.values():
                file.close()
            shutil.rmtree(self._folder)

    def _path(self, part: int) -> Path:
        return self._folder / f"{part:04d}.bin"
