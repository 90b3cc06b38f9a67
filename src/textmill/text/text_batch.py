"""Many texts side by side in one buffer: what goes through the data engine, without a Python object for each text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class TextBatch:
    """Texts, one after the other.

    Attributes:
        data: uint8[num_bytes]: the UTF-8 of all texts.
        offsets: int64[num_texts + 1]: text i is data[offsets[i]:offsets[i + 1]]; the first is 0.
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, texts: Sequence[str | bytes]) -> TextBatch:
        """Lay texts side by side."""
        encoded = [text.encode() if isinstance(text, str) else text for text in texts]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    @classmethod
    def joined(cls, batches: Sequence[TextBatch]) -> TextBatch:
        """Put batches one after the other."""
        if len(batches) == 1:
            return batches[0]
        starts = np.cumsum([0, *(batch.num_bytes for batch in batches)])
        offsets = [np.zeros(1, np.int64)]
        offsets += [batch.offsets[1:] + start for batch, start in zip(batches, starts, strict=False)]
        data = [batch.data for batch in batches] or [np.empty(0, np.uint8)]
        return cls(np.concatenate(data), np.concatenate(offsets))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, number: int) -> bytes:
        if not 0 <= number < len(self):
            raise IndexError(f"text {number} of {len(self)}")
        return self.data[self.offsets[number] : self.offsets[number + 1]].tobytes()

    def __iter__(self) -> Iterator[bytes]:
        whole = self.data.tobytes()
        ends = self.offsets.tolist()
        return (whole[begin:end] for begin, end in pairwise(ends))

    @property
    def num_bytes(self) -> int:
        """Bytes of all texts."""
        return int(self.offsets[-1])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Bytes of each text; returns int64[num_texts]."""
        return np.diff(self.offsets)

    def texts(self) -> list[str]:
        """Decode all texts."""
        return [text.decode() for text in self]

    def between(self, begin: int, end: int) -> TextBatch:
        """Copy the texts from ``begin`` up to ``end``."""
        offsets = self.offsets[begin : end + 1]
        return TextBatch(np.array(self.data[offsets[0] : offsets[-1]]), offsets - offsets[0])

    def at(self, numbers: NDArray[np.int64]) -> TextBatch:
        """Copy the texts with some numbers, int64[m], in their order."""
        begins, lengths = self.offsets[numbers], self.lengths[numbers]
        offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)))
        data = np.empty(int(offsets[-1]), np.uint8)
        for begin, length, to in zip(begins.tolist(), lengths.tolist(), offsets.tolist(), strict=False):
            data[to : to + length] = self.data[begin : begin + length]
        return TextBatch(data, offsets)

    def select(self, chosen: NDArray[np.bool_]) -> TextBatch:
        """Keep the texts where ``chosen``, bool[num_texts], is true."""
        if chosen.all():
            return self
        edges = np.flatnonzero(np.diff(chosen, prepend=False, append=False))  # where runs of texts begin and end
        runs = self.offsets[edges].reshape(-1, 2).tolist()
        data = np.concatenate([self.data[begin:end] for begin, end in runs] or [self.data[:0]])
        return TextBatch(data, np.concatenate(([0], np.cumsum(self.lengths[chosen]))))
