"""Rows that may be more than the memory holds: spread over the parts of a file, each of which is loaded whole later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.base.files import storage_errors

# Sorting a part takes a few copies of it.
_COPIES = 8
# Rows that wait for being written take so much of the limit, and their sorted copy as much again.
_WAITING_SHARE = 16
# Where each part begins is kept for every block that is written; beyond so many parts, one may be larger than wanted.
_MAX_PARTS = 4096


def num_parts_for(num_bytes: int, memory_limit: int) -> int:
    """Say into how many parts to spread rows so that one can be sorted within a limit in bytes."""
    return min(_MAX_PARTS, max(1, -(-num_bytes * _COPIES // memory_limit)))


class Spill:
    """Rows of numbers of 64 bits, in parts.

    Rows wait until there are enough for a block, which is written ordered by part: one open file, whatever the parts.

    Args:
        path: of the file, which must not exist.
        num_columns: of a row.
        num_parts: to spread them over.
        memory_limit: bytes, of which waiting rows take a small share.
    """

    def __init__(self, path: Path, num_columns: int, num_parts: int, memory_limit: int) -> None:
        self._path = path
        self._num_columns = num_columns
        self.num_parts = num_parts
        self.num_rows = 0
        self._most_waiting = memory_limit // _WAITING_SHARE // (8 * num_columns)
        self._waiting: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        self._num_waiting = 0
        self._begins: list[NDArray[np.int64]] = []  # of each block, int64[num_parts + 1]: rows before each part
        with storage_errors(path):
            self._file = path.open("x+b")

    def add(self, rows: NDArray[np.int64], parts: NDArray[np.int64]) -> None:
        """Add rows, int64[n, columns], to the parts that int64[n] names; those of a part keep their order."""
        if len(rows) == 0:
            return
        self.num_rows += len(rows)
        self._waiting.append((rows, parts))
        self._num_waiting += len(rows)
        if self._num_waiting >= self._most_waiting:
            self._write()

    def load(self, part: int) -> NDArray[np.int64]:
        """Read the rows of a part in the order they were added; returns int64[n, columns]."""
        self._write()
        spans = [(begins[part], begins[part + 1]) for begins in self._begins]
        rows = np.empty((int(sum(end - begin for begin, end in spans)), self._num_columns), np.int64)
        done = 0
        for begin, end in spans:
            if begin < end:
                self._file.seek(int(begin) * 8 * self._num_columns)
                self._file.readinto(rows[done : done + end - begin].data.cast("B"))
                done += end - begin
        return rows

    def close(self) -> None:
        """Forget the rows."""
        self._file.close()
        self._path.unlink()

    def _write(self) -> None:
        """Write the rows that wait, as a block."""
        if not self._waiting:
            return
        parts = np.concatenate([parts for _, parts in self._waiting])
        rows = np.concatenate([rows for rows, _ in self._waiting])
        self._waiting.clear()
        before = self.num_rows - self._num_waiting
        self._num_waiting = 0
        order = np.argsort(parts, kind="stable")
        self._begins.append(before + np.searchsorted(parts[order], np.arange(self.num_parts + 1)))
        with storage_errors(self._path):
            self._file.seek(0, 2)
            self._file.write(rows[order].data.cast("B"))
            self._file.flush()
