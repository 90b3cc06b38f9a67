"""The texts of a unit that stay after filtering: flat files, mapped when they are read again.

texts.bin     their UTF-8, one after the other
texts.npy     int64[n + 1]: where each begins
names.bin     their ids, and names.npy where each begins
scores.npy    float32[n]: what the quality classifier says, 0 where there is none
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.text.text_batch import TextBatch


class KeptTextsWriter:
    """Writes texts into a folder, batch after batch."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {name: (folder / f"{name}.bin").open("wb") for name in ("texts", "names")}
        self._lengths: dict[str, list[NDArray[np.int64]]] = {"texts": [], "names": []}
        self._scores: list[NDArray[np.float32]] = []

    def add(self, texts: TextBatch, names: TextBatch, scores: NDArray[np.float32]) -> None:
        """Add texts with their names and scores, float32[len(texts)]."""
        for name, batch in (("texts", texts), ("names", names)):
            self._files[name].write(memoryview(batch.data[: batch.num_bytes]))
            self._lengths[name].append(batch.lengths)
        self._scores.append(scores)

    def close(self) -> None:
        """Finish the files."""
        for name, file in self._files.items():
            file.close()
            lengths = np.concatenate([np.zeros(1, np.int64), *self._lengths[name]])
            np.save(self._folder / f"{name}.npy", np.cumsum(lengths))
        np.save(self._folder / "scores.npy", np.concatenate([np.zeros(0, np.float32), *self._scores]))


class KeptTexts:
    """The texts of a unit, mapped.

    Attributes:
        texts: the texts.
        names: their ids.
        scores: float32[n].
    """

    def __init__(self, folder: Path) -> None:
        self.texts = _batch(folder, "texts")
        self.names = _batch(folder, "names")
        self.scores: NDArray[np.float32] = np.load(folder / "scores.npy")

    def __len__(self) -> int:
        return len(self.texts)


def _batch(folder: Path, name: str) -> TextBatch:
    offsets: NDArray[np.int64] = np.load(folder / f"{name}.npy", mmap_mode="r")
    path = folder / f"{name}.bin"
    data: NDArray[Any] = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)
    return TextBatch(data, offsets)
