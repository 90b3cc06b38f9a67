"""The texts of a unit that stay after filtering: flat files, mapped when they are read again.

texts.bin     their UTF-8, one after the other
texts.npy     int64[n + 1]: where each begins
names.bin     their ids, and names.npy where each begins
scores.npy    float32[n]: what the quality classifier says, 0 where there is none
keys.bin      what deduplication compares (``text.dedup.keys``), where documents are compared
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from textmill.base.exact_reads import fill, read_errors
from textmill.data.kept_batch import KeptBatch
from textmill.text.dedup import UnitKeys
from textmill.text.text_batch import TextBatch

KEYS = "keys.bin"
_COLUMNS = ("texts", "names")
_FIX = "remove the folder it is in, and start again"


class KeptTextsWriter:
    """Writes documents into a folder, batch after batch, in a ``with`` block.

    Args:
        folder: where the files go.
        make_keys: makes the keys of a batch; None where documents are not compared.
    """

    def __init__(self, folder: Path, make_keys: Callable[[KeptBatch], UnitKeys] | None) -> None:
        self._folder = folder
        self._make_keys = make_keys
        self._keys: list[UnitKeys] = []
        self._stack = ExitStack()
        self._lengths: dict[str, list[NDArray[np.int64]]] = {name: [np.zeros(1, np.int64)] for name in _COLUMNS}
        self._scores: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]

    def __enter__(self) -> Self:
        self._files = {name: self._stack.enter_context((self._folder / f"{name}.bin").open("wb")) for name in _COLUMNS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if error is None:
            for name in _COLUMNS:
                np.save(self._folder / f"{name}.npy", np.cumsum(np.concatenate(self._lengths[name])))
            np.save(self._folder / "scores.npy", np.concatenate(self._scores))
            if self._make_keys is not None:
                nothing = KeptBatch(TextBatch.of([]), TextBatch.of([]), np.zeros(0, np.float32))
                UnitKeys.joined([self._make_keys(nothing), *self._keys]).write(self._folder / KEYS)

    def add(self, batch: KeptBatch) -> None:
        """Add documents."""
        for name, column in (("texts", batch.texts), ("names", batch.names)):
            self._files[name].write(column.data[: column.num_bytes].tobytes())
            self._lengths[name].append(column.lengths)
        self._scores.append(batch.scores)
        if self._make_keys is not None:
            self._keys.append(self._make_keys(batch))


class KeptTexts:
    """The documents of a unit, mapped.

    Attributes:
        texts: their texts.
        names: their ids.
        scores: float32[n].
    """

    def __init__(self, folder: Path) -> None:
        self.texts = _column(folder, "texts")
        self.names = _column(folder, "names")
        self.scores: NDArray[np.float32] = np.load(folder / "scores.npy")

    def __len__(self) -> int:
        return len(self.texts)

    def batch(self, begin: int, end: int) -> KeptBatch:
        """Copy the documents from ``begin`` up to ``end``."""
        return KeptBatch(self.texts.between(begin, end), self.names.between(begin, end), self.scores[begin:end])


def text_bytes(folder: Path) -> int:
    """The bytes of a unit's texts."""
    return (folder / "texts.bin").stat().st_size


def read_texts(folder: Path, numbers: NDArray[np.int64]) -> TextBatch:
    """Copy texts of a unit, by their numbers, int64[m].

    They are read, since what is mapped counts as memory; of where they begin, a few pages are mapped for a moment.

    Raises:
        DataError: a file is gone, or shorter than it was.
    """
    with read_errors(folder / "texts.npy", _FIX):
        all_offsets: NDArray[np.int64] = np.load(folder / "texts.npy", mmap_mode="r")
    begins = all_offsets[numbers]
    offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(all_offsets[numbers + 1] - begins)))
    data = np.empty(int(offsets[-1]), np.uint8)
    with read_errors(folder / "texts.bin", _FIX), (folder / "texts.bin").open("rb") as file:
        for begin, (start, end) in zip(begins.tolist(), pairwise(offsets.tolist()), strict=True):
            fill(data[start:end], file, begin)
    return TextBatch(data, offsets)


def _column(folder: Path, name: str) -> TextBatch:
    offsets: NDArray[np.int64] = np.load(folder / f"{name}.npy")
    path = folder / f"{name}.bin"
    data: NDArray[Any] = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    return TextBatch(data, offsets)
