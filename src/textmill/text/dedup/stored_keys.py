"""The keys of a unit in its file: read a column at a time, whenever one is asked for.

Nothing stays in memory or open between: there may be any number of units, and mapped columns would count as memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.text.dedup.keys import MAGIC


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an array stands in a file."""

    begin: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """The keys of documents, as ``UnitKeys`` has them, in the file that it wrote.

    Attributes:
        path: the file.
        source: whose they are.
    """

    path: Path
    source: str
    _places: tuple[_Place, ...]  # text hashes, bands, lengths, scores

    @classmethod
    def open(cls, path: Path, source: str = "") -> Self:
        """Look at a file.

        Raises:
            DataError: it is none that ``UnitKeys.write`` made, or not whole.
        """
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise DataError(f"{path} is no file of keys; remove it, and start again")
            try:
                hashes, bands, lengths, scores = (_next_place(file) for _ in range(4))
            except ValueError as error:
                raise DataError(f"{path} is damaged ({error}); remove it, and start again") from error
        if not hashes.shape[0] == bands.shape[-1] == lengths.shape[0] == scores.shape[0]:
            raise DataError(f"{path} is damaged: its columns differ in length; remove it, and start again")
        return cls(path, source, (hashes, bands, lengths, scores))

    def __len__(self) -> int:
        return self._places[2].shape[0]

    @property
    def num_bands(self) -> int:
        """Keys of each document."""
        return self._places[1].shape[0]

    @property
    def text_hashes(self) -> NDArray[np.uint64]:
        """Read uint64[n, 2], equal where texts are."""
        place = self._places[0]
        return self._read(place, place.begin, 2 * len(self)).reshape(place.shape)

    def band(self, number: int) -> NDArray[np.uint64]:
        """Read the keys of a band, uint64[n]; 0 for a document without words."""
        place = self._places[1]
        return self._read(place, place.begin + 8 * len(self) * number, len(self))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Read int64[n], bytes."""
        return self._read(self._places[2], self._places[2].begin, len(self))

    @property
    def scores(self) -> NDArray[np.float32]:
        """Read float32[n]."""
        return self._read(self._places[3], self._places[3].begin, len(self))

    def _read(self, place: _Place, begin: int, count: int) -> NDArray[Any]:
        return np.fromfile(self.path, place.dtype, count, offset=begin)


def _next_place(file: BinaryIO) -> _Place:
    """Find the array that begins where the file stands, and pass over it."""
    np.lib.format.read_magic(file)
    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    begin = file.tell()
    end = begin + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    file.seek(0, 2)
    if file.tell() < end:
        raise ValueError(f"{file.tell()} bytes, and {end} are needed")
    file.seek(end)
    return _Place(begin, shape, dtype)
