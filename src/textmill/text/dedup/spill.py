"""Rows that may be more than the memory holds: spread over the parts of a file, each of which is loaded whole later."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.base.exact_reads import fill, read_errors
from textmill.base.files import storage_errors

# Sorting a part takes a few copies of it.
_COPIES = 8
# Rows that wait for being written take so much of the limit, and their ordered copy as much again.
_WAITING_SHARE = 16
# Larger parts and blocks are no quicker, and their memory would grow with the input as far as the limit lets it.
_ENOUGH_BYTES = 8 << 20
# A part is read from every block; of more parts the pieces would be too small, so one may be larger than wanted.
_MAX_PARTS = 4096
_PART_BYTES = 2
_FIX = "it is only for this run, and something else changed it; start again"


def num_parts_for(num_bytes: int, memory_limit: int) -> int:
    """Say into how many parts to spread rows so that one can be sorted within a limit in bytes."""
    part_bytes = min(_ENOUGH_BYTES, memory_limit / _COPIES)
    return min(_MAX_PARTS, max(1, math.ceil(num_bytes / part_bytes)))


class Spill:
    """Rows of numbers of 64 bits, in parts.

    Rows wait until there are enough for a block, which is written ordered by part: one open file, whatever the parts.
    Before its rows a block has where each part begins in it, int64[num_parts + 1], so that only the place of each block
    stays in memory.

    Args:
        path: of the file, which must not exist.
        num_columns: of a row.
        num_parts: to spread them over, 4,096 at most.
        memory_limit: bytes, of which waiting rows take a small share.
    """

    def __init__(self, path: Path, num_columns: int, num_parts: int, memory_limit: int) -> None:
        assert 1 <= num_parts <= _MAX_PARTS, f"{num_parts} parts"
        self._path = path
        self.num_parts = num_parts
        self.num_rows = 0
        # With so many rows as parts at least, where parts begin is never more than what is in them.
        waiting_bytes = min(_ENOUGH_BYTES, memory_limit // _WAITING_SHARE)
        most_waiting = max(num_parts, waiting_bytes // (8 * num_columns + _PART_BYTES))
        self._rows = np.empty((most_waiting, num_columns), np.int64)
        self._parts = np.empty(most_waiting, np.uint16)
        self._num_waiting = 0
        self._blocks: list[int] = []  # the first byte of each
        with storage_errors(path):
            self._file = path.open("x+b")

    def add(self, rows: NDArray[np.int64], parts: NDArray[np.int64]) -> None:
        """Add rows, int64[n, columns], to the parts that int64[n] names; those of a part keep their order."""
        self.num_rows += len(rows)
        begin = 0
        while begin < len(rows):
            end = min(len(rows), begin + len(self._rows) - self._num_waiting)
            room = slice(self._num_waiting, self._num_waiting + end - begin)
            self._rows[room], self._parts[room] = rows[begin:end], parts[begin:end]
            self._num_waiting += end - begin
            begin = end
            if self._num_waiting == len(self._rows):
                self._write()

    def load(self, part: int) -> NDArray[np.int64]:
        """Read the rows of a part in the order they were added; returns int64[n, columns].

        Raises:
            DataError: the file was changed from outside.
            StorageError: the disk is full.
        """
        self._write()
        with read_errors(self._path, _FIX):
            spans = [self._span(block, part) for block in self._blocks]
            num_columns = self._rows.shape[1]
            rows = np.empty((sum(count for _, count in spans), num_columns), np.int64)
            done = 0
            for begin, count in spans:
                if count:
                    fill(rows[done : done + count], self._file, begin)
                    done += count
        return rows

    def pieces(self, part: int) -> Iterator[NDArray[np.int64]]:
        """Read the rows of a part in the order they were added, as many at a time as one block has: int64[n, columns].

        Raises:
            DataError, StorageError: as ``load``.
        """
        self._write()
        for block in self._blocks:
            with read_errors(self._path, _FIX):
                begin, count = self._span(block, part)
                rows = np.empty((count, self._rows.shape[1]), np.int64)
                if count:
                    fill(rows, self._file, begin)
            if count:
                yield rows

    def close(self) -> None:
        """Forget the rows, those too for which the disk had no room."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._path.unlink()

    def _span(self, block: int, part: int) -> tuple[int, int]:
        """Look up where a part's rows of a block begin, as a byte of the file, and how many there are."""
        bounds = np.empty(2, np.int64)
        fill(bounds, self._file, block + 8 * part)
        begin, end = bounds.tolist()
        return block + 8 * (self.num_parts + 1) + begin * 8 * self._rows.shape[1], end - begin

    def _write(self) -> None:
        """Write the rows that wait, as a block."""
        if self._num_waiting == 0:
            return
        parts = self._parts[: self._num_waiting]
        order = np.argsort(parts, kind="stable")
        counts = np.bincount(parts, minlength=self.num_parts)
        bounds = np.concatenate((np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)))
        with storage_errors(self._path):
            self._blocks.append(self._file.seek(0, 2))
            self._file.write(bounds.data)
            self._file.write(self._rows[order].data)
            self._file.flush()
        self._num_waiting = 0
