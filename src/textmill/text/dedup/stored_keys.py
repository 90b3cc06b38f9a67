"""The keys of a unit in its file: read a column at a time, whenever one is asked for.

Nothing stays in memory or open between: there may be any number of units, and mapped columns would count as memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.base.exact_reads import fill, read_errors
from textmill.text.dedup.keys import MAGIC

_FIX = "remove it, and start again"
_DTYPES = ("<u8", "<u8", "<i8", "<f4")  # text hashes, bands, lengths, scores


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The keys of documents, as ``UnitKeys`` has them, in the file that it wrote.

    Attributes:
        path: the file.
        source: whose they are.
        num_bands: keys of each document.

    Every column is read anew.

    Raises:
        DataError: the file has become shorter, or is gone.
    """

    path: Path
    source: str
    num_bands: int
    _num_documents: int
    _begins: tuple[int, ...]  # the first byte of each array

    @classmethod
    def open(cls, path: Path, source: str = "") -> Self:
        """Look at a file.

        Raises:
            DataError: it is none that ``UnitKeys.write`` made, or not whole.
        """
        with read_errors(path, _FIX), path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise DataError(f"{path} is no file of keys; {_FIX}")
            begins, shapes = zip(*(_pass_array(file, dtype) for dtype in _DTYPES), strict=True)
        (num_bands, *_), (num_documents, *_) = shapes[1:3]
        if shapes != ((num_documents, 2), (num_bands, num_documents), (num_documents,), (num_documents,)):
            raise DataError(f"{path} is damaged: its columns differ in length; {_FIX}")
        return cls(path, source, num_bands, num_documents, begins)

    def __len__(self) -> int:
        return self._num_documents

    @property
    def text_hashes(self) -> NDArray[np.uint64]:
        """Read uint64[n, 2], equal where texts are."""
        return self._read(0, (len(self), 2))

    def band(self, number: int) -> NDArray[np.uint64]:
        """Read the keys of a band, uint64[n]; 0 for a document without words."""
        return self._read(1, (len(self),), 8 * len(self) * number)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Read int64[n], bytes."""
        return self._read(2, (len(self),))

    @property
    def scores(self) -> NDArray[np.float32]:
        """Read float32[n]."""
        return self._read(3, (len(self),))

    def _read(self, array: int, shape: tuple[int, ...], skip_bytes: int = 0) -> NDArray[Any]:
        column = np.empty(shape, _DTYPES[array])
        with read_errors(self.path, _FIX), self.path.open("rb") as file:
            fill(column, file, self._begins[array] + skip_bytes)
        return column


def _pass_array(file: BinaryIO, dtype: str) -> tuple[int, tuple[int, ...]]:
    """Pass over the array that begins where the file stands; returns the first byte of its numbers, and its shape."""
    np.lib.format.read_magic(file)
    shape, is_fortran, found = np.lib.format.read_array_header_1_0(file)
    if found != np.dtype(dtype) or is_fortran:
        raise ValueError(f"numbers are {found.str}, and must be {dtype}")
    begin = file.tell()
    end = begin + math.prod(shape) * found.itemsize
    file.seek(0, 2)
    if file.tell() < end:
        raise ValueError(f"{file.tell()} bytes, and {end} are needed")
    file.seek(end)
    return begin, shape
