"""The index as textmill 0.1 wrote it: ``index.bin`` of format 1, read and not written.

Little-endian: 8 bytes ``TMINDEX1``; uint64 documents, files, blocks; then uint64[documents + 1] first token of each
document, uint64[documents] bytes of its text, uint64[files + 1] first block of each file, uint32[blocks] crc32, each of
1 MiB.
Its checksums are for ``verify``: nothing is checked when it is first touched.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.data.index import REMEDY, ShardIndex
from textmill.data.mapped_file import map_file

KIND = b"TMINDEX1"
_HEADER = struct.Struct("<8sQQQ")


class _PlainFile:
    """Arrays without checksums, behind the door of a file of arrays."""

    def __init__(self, path: Path, arrays: dict[str, NDArray]) -> None:
        self.path = path
        self._arrays = arrays

    def check(self, name: str, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        """Nothing is known that could be checked."""

    def check_all(self) -> None:
        """Nothing is known that could be checked."""

    def read(self, name: str, begin: int = 0, end: int | None = None) -> NDArray:
        """Return values of an array."""
        return self._arrays[name][begin:end]


class ShardIndex1(ShardIndex):
    """An index of format 1; raises ``DataError`` where it is cut short or not an index."""

    block_bytes = 1 << 20

    def __init__(self, path: Path) -> None:
        content = map_file(path)
        if len(content) < _HEADER.size:
            raise DataError(f"{path} is missing or cut short ({len(content)} bytes); {REMEDY}")
        kind, documents, files, blocks = _HEADER.unpack(content[: _HEADER.size].tobytes())
        wanted = _HEADER.size + 8 * (2 * documents + 1 + files + 1) + 4 * blocks
        if kind != KIND or len(content) != wanted:
            raise DataError(
                f"{path} is not a whole index: it has {len(content)} bytes and its header asks for {wanted}; {REMEDY}"
            )
        words = content[_HEADER.size : wanted - 4 * blocks].view("<i8")
        self._starts = words[: documents + 1]
        self._file = _PlainFile(path, {"text_bytes": words[documents + 1 : 2 * documents + 1]})
        self.num_documents = documents
        self._file_blocks = words[2 * documents + 1 :].tolist()
        self._crc32 = content[wanted - 4 * blocks :].view("<u4")

    def checksums(self, file: int) -> NDArray[np.uint64]:
        """Return none: those of this format are not of the kind that is checked when a block is first touched."""
        return np.empty(0, np.uint64)

    def first_damaged_block(self, file: int, content: NDArray[np.uint8]) -> int | None:
        """Find the first block of a file's bytes that is not what was written."""
        first, last = self._file_blocks[file], self._file_blocks[file + 1]
        for number, crc32 in enumerate(self._crc32[first:last].tolist()):
            block = content[number * self.block_bytes : (number + 1) * self.block_bytes]
            if zlib.crc32(block.data) != crc32:
                return number
        return None
