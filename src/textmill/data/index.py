"""The binary index beside a shard set: where documents begin, their bytes of text, and checksums of blocks.

Little-endian: 8 bytes ``TMINDEX1``; uint64 documents, files, blocks; then uint64[documents + 1] first token of each
document, uint64[documents] bytes of its text, uint64[files + 1] first block of each file, uint32[blocks] crc32.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textmill.base.errors import DataError

MAGIC = b"TMINDEX1"
BLOCK_BYTES = 1 << 20
_HEADER = struct.Struct("<8sQQQ")


@dataclass(slots=True)
class ShardIndex:
    """The index in memory; arrays grow while a set is written."""

    starts: list[np.ndarray]
    text_bytes: list[np.ndarray]
    file_blocks: list[int]
    block_crc32: list[int]

    @classmethod
    def empty(cls) -> ShardIndex:
        """Begin an index for a set that is being written."""
        return cls([np.zeros(1, np.int64)], [np.zeros(0, np.int64)], [0], [])

    @property
    def num_documents(self) -> int:
        """Documents so far."""
        return sum(len(part) for part in self.text_bytes)

    @property
    def num_tokens(self) -> int:
        """Tokens so far, the ids that end documents among them."""
        return int(self.starts[-1][-1])

    def add_documents(self, lengths: np.ndarray, text_bytes: Sequence[int]) -> None:
        """Add documents of ``lengths`` tokens (ends included) and ``text_bytes`` bytes of text."""
        self.starts.append(self.num_tokens + np.cumsum(lengths, dtype=np.int64))
        self.text_bytes.append(np.asarray(text_bytes, np.int64))

    def add_block(self, crc32: int) -> None:
        """Add the checksum of the next block of the current file."""
        self.block_crc32.append(crc32)

    def end_file(self) -> None:
        """Say that the current file's blocks are all there."""
        self.file_blocks.append(len(self.block_crc32))

    def span(self, number: int) -> tuple[int, int]:
        """Tell where a document begins and ends, in tokens, its end id included."""
        starts = self.starts[0]
        return int(starts[number]), int(starts[number + 1])

    def bytes_of_text(self) -> np.ndarray:
        """Tell each document's bytes of UTF-8 text; returns int64[documents]."""
        return np.concatenate(self.text_bytes)

    def first_damaged_block(self, path: Path, file_number: int) -> int | None:
        """Find the first block of a file whose checksum is not the recorded one."""
        first = self.file_blocks[file_number]
        with path.open("rb") as file:
            for number, crc32 in enumerate(self.block_crc32[first : self.file_blocks[file_number + 1]]):
                if zlib.crc32(file.read(BLOCK_BYTES)) != crc32:
                    return number
        return None

    def to_bytes(self) -> bytes:
        """Lay the index out as it stands on disk."""
        return b"".join(
            (
                _HEADER.pack(MAGIC, self.num_documents, len(self.file_blocks) - 1, len(self.block_crc32)),
                np.concatenate(self.starts).astype("<u8").tobytes(),
                np.concatenate(self.text_bytes).astype("<u8").tobytes(),
                np.array(self.file_blocks, "<u8").tobytes(),
                np.array(self.block_crc32, "<u4").tobytes(),
            )
        )

    @classmethod
    def read(cls, path: Path) -> ShardIndex:
        """Map an index file; raises ``DataError`` where it is missing, cut short or not an index."""
        size = path.stat().st_size if path.is_file() else 0
        if size < _HEADER.size:
            raise DataError(f"{path} is missing or cut short ({size} bytes); write the shards again")
        with path.open("rb") as file:
            magic, documents, files, blocks = _HEADER.unpack(file.read(_HEADER.size))
        wanted = _HEADER.size + 8 * (2 * documents + 1 + files + 1) + 4 * blocks
        if magic != MAGIC or size != wanted:
            raise DataError(
                f"{path} is not a whole index: it has {size} bytes and its header asks for {wanted}; "
                "write the shards again"
            )
        words = np.memmap(path, "<u8", "r", offset=_HEADER.size, shape=(2 * documents + files + 2,))
        crc32 = np.fromfile(path, "<u4", offset=size - 4 * blocks)
        return cls(
            [words[: documents + 1]],
            [words[documents + 1 : 2 * documents + 1]],
            [int(word) for word in words[2 * documents + 1 :]],
            [int(word) for word in crc32],
        )
