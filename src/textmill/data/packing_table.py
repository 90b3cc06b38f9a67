"""Packing tables, read: which pieces of which documents stand in each row.

A file of arrays (``array_file``): ``rows`` uint64[rows + 1], pieces before each row; ``pieces`` uint64[pieces]: the
place of the first token in the set times 2^22, plus 2^21 where it is told out of order (``fill_in_the_middle``), plus
the tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.data.array_file import ArrayFile

KIND = b"TMPACK01"
DTYPES = {"rows": "<u8", "pieces": "<u8"}
MAX_CONTEXT = (1 << 21) - 1
REMEDY = "remove it, and it is made again"
_PLACE_BITS = np.uint64(22)
_IS_REORDERED = np.uint64(1 << 21)
_LENGTH_MASK = np.uint64(MAX_CONTEXT)


@dataclass(frozen=True, kw_only=True, slots=True)
class PackingFigures:
    """What became of a set's documents.

    Attributes:
        num_rows: rows of ``context`` tokens.
        num_pieces: pieces that documents were cut into, one for each document that a row holds.
        num_cut: documents of more than one piece.
        num_tokens: in all rows, sentinels of fill-in-the-middle among them.
        num_padding: places that hold none.
    """

    context: int
    num_rows: int
    num_pieces: int
    num_cut: int
    num_tokens: int
    num_padding: int

    @property
    def padding_share(self) -> float:
        """The share of places that hold no token."""
        return self.num_padding / (self.num_rows * self.context)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """The pieces of some rows: pieces before each row, and of each piece its place, its tokens and its order."""

    row_pieces: NDArray[np.int64]
    places: NDArray[np.int64]
    lengths: NDArray[np.int64]
    is_reordered: NDArray[np.bool_]


class PackingTable:
    """A table, mapped.

    Raises:
        DataError: it is missing, cut short or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._file = ArrayFile(path, KIND, REMEDY)
        self._rows = self._file.unchecked("rows").view(np.int64)
        self._pieces = self._file.unchecked("pieces")
        self.made_for: dict[str, Any] = self._file.facts["made_for"]
        self.figures = PackingFigures(**self._file.facts["figures"])

    def __reduce__(self) -> tuple[type[PackingTable], tuple[Path]]:
        return PackingTable, (self._file.path,)

    @property
    def num_rows(self) -> int:
        """Rows in all."""
        return len(self._rows) - 1

    def pieces(self, rows: NDArray[np.int64]) -> Pieces:
        """Look rows up, int64[n]."""
        self._file.check("rows", rows, rows + 2)
        begins, ends = self._rows[rows], self._rows[rows + 1]
        self._file.check("pieces", begins, ends)
        before = np.concatenate(([0], np.cumsum(ends - begins)))
        pieces = self._pieces[np.arange(before[-1]) + np.repeat(begins - before[:-1], ends - begins)]
        return Pieces(
            before,
            (pieces >> _PLACE_BITS).astype(np.int64),
            (pieces & _LENGTH_MASK).astype(np.int64),
            (pieces & _IS_REORDERED) != 0,
        )


def pack_pieces(
    places: NDArray[np.int64], lengths: NDArray[np.int64], is_reordered: NDArray[np.bool_]
) -> NDArray[np.uint64]:
    """Put places, tokens and orders of pieces into one number each, as a table holds them; returns uint64[pieces]."""
    numbers = (places.astype(np.uint64) << _PLACE_BITS) | lengths.astype(np.uint64)
    return numbers | is_reordered * _IS_REORDERED


def find_packing_tables(folder: Path) -> tuple[list[PackingTable], list[str]]:
    """List the tables beside a set's shards, and what is wrong with those that cannot be opened."""
    tables, damage = [], []
    for path in packing_files(folder):
        try:
            tables.append(PackingTable(path))
        except DataError as error:
            damage.append(str(error))
    return tables, damage


def packing_files(folder: Path) -> list[Path]:
    """List the files of tables beside a set's shards."""
    return sorted(folder.glob("packing-*.bin"))
