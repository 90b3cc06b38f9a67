"""The index beside a shard set, ``index.bin``: where documents begin, their bytes of text, checksums of all blocks.

Format 2 is a file of arrays (``array_file``) that begins with ``TMINDEX2``: ``starts`` uint64[documents + 1], the first
token of each document and the end; ``text_bytes`` uint64[documents]; ``file_blocks`` uint64[files + 1], the first block
of each file of tokens and the end; ``checksums`` uint64[blocks], one for each 64 KiB of such a file. ``index_format_1``
reads what textmill 0.1 wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.data.array_file import ArrayFile, ArrayFileWriter
from textmill.text.checksums import block_checksums

if TYPE_CHECKING:
    from textmill.data.shard_writer import ShardPart

KIND = b"TMINDEX2"
BLOCK_BYTES = 1 << 16
REMEDY = "copy it again, or write the shards again"
_DTYPES = {"starts": "<u8", "text_bytes": "<u8", "file_blocks": "<u8", "checksums": "<u8"}


def write_index(path: Path, parts: Sequence[ShardPart]) -> str:
    """Write the index of files of tokens, in their order; returns its sha256."""
    num_tokens = num_blocks = 0
    with ArrayFileWriter(path, KIND, _DTYPES) as writer:
        writer.append("starts", np.zeros(1, np.int64))
        writer.append("file_blocks", np.zeros(1, np.int64))
        for part in parts:
            ends = num_tokens + np.cumsum(part.lengths, dtype=np.int64)
            num_tokens, num_blocks = int(ends[-1]), num_blocks + len(part.checksums)
            writer.append("starts", ends)
            writer.append("text_bytes", part.text_bytes)
            writer.append("checksums", part.checksums)
            writer.append("file_blocks", np.array([num_blocks]))
        return writer.finish()


class IndexArrays(Protocol):
    """The arrays of an index, of either format, and what checks them."""

    path: Path

    def check(self, name: str, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        """Raise ``DataError`` where a value of those in [begin, end) is damaged."""
        ...

    def check_all(self) -> None:
        """Raise ``DataError`` where any value is damaged."""
        ...

    def read(self, name: str, begin: int = 0, end: int | None = None) -> NDArray:
        """Return values of an array, checked."""
        ...


class ShardIndex:
    """An index, mapped; what is read of it is checked first.

    Args:
        path: a file of format 2.

    Attributes:
        num_documents: how many documents there are.
        block_bytes: bytes in a block of a file of tokens.

    Raises:
        DataError: it is missing, cut short, damaged or not an index.
    """

    block_bytes = BLOCK_BYTES

    def __init__(self, path: Path) -> None:
        file = ArrayFile(path, KIND, REMEDY)
        self._file: IndexArrays = file
        self._starts = file.unchecked("starts").view(np.int64)
        self.num_documents = len(self._starts) - 1
        self._file_blocks = self._file.read("file_blocks").tolist()
        self._checksums = self._file.read("checksums")

    @property
    def num_files(self) -> int:
        """How many files of tokens it speaks of."""
        return len(self._file_blocks) - 1

    @property
    def num_tokens(self) -> int:
        """Where the last document ends."""
        return int(self.starts(self.num_documents, self.num_documents + 1)[0])

    def checksums(self, file: int) -> NDArray[np.uint64]:
        """Return the checksums of a file's blocks, uint64[blocks]."""
        return self._checksums[self._file_blocks[file] : self._file_blocks[file + 1]]

    def starts(self, begin: int, end: int) -> NDArray[np.int64]:
        """Return the first tokens of the documents [begin, end), which may include the end of all, int64[n]."""
        self._file.check("starts", np.array([begin]), np.array([end]))
        return self._starts[begin:end]

    def span(self, number: int) -> tuple[int, int]:
        """Tell where a document begins and ends, in tokens, its end id included."""
        start, stop = self.starts(number, number + 2).tolist()
        return start, stop

    def bytes_of_text(self) -> NDArray[np.int64]:
        """Tell each document's bytes of UTF-8 text; returns int64[documents]."""
        return self._file.read("text_bytes").view(np.int64)

    def documents_at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the documents that tokens belong to, int64[n]; a token is named by its place in the stream."""
        numbers = np.searchsorted(self._starts, places, side="right") - 1
        self._file.check("starts", numbers, numbers + 2)
        if not ((self._starts[numbers] <= places) & (places < self._starts[numbers + 1])).all():
            self._file.check_all()  # a damaged start misled the search
            raise DataError(f"{self._file.path} does not rise from document to document; {REMEDY}")
        return numbers

    def ends_document(self, places: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which tokens, named by their places int64[n], are the last of their document; returns bool[n]."""
        return self._starts[self.documents_at(places) + 1] == places + 1

    def pieces(
        self, begins: NDArray[np.int64], ends: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Cut stretches of the stream where documents end.

        Args:
            begins: int64[n]; ends: int64[n], each behind its begin.

        Returns:
            int64[n + 1], pieces before each stretch; and of each piece its place and its tokens, int64[pieces].
        """
        firsts, lasts = self.documents_at(begins), self.documents_at(ends - 1)
        counts = lasts - firsts + 1
        before = np.concatenate(([0], np.cumsum(counts)))
        self._file.check("starts", firsts, lasts + 2)
        number = np.arange(before[-1]) + np.repeat(firsts - before[:-1], counts)
        places = np.maximum(self._starts[number], np.repeat(begins, counts))
        stops = np.minimum(self._starts[number + 1], np.repeat(ends, counts))
        return before, places, stops - places

    def first_damaged_block(self, file: int, content: NDArray[np.uint8]) -> int | None:
        """Find the first block of a file's bytes, uint8[n], that is not what was written."""
        wrong = np.flatnonzero(block_checksums(content, self.block_bytes) != self.checksums(file))
        return int(wrong[0]) if len(wrong) else None
