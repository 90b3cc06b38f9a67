"""Bytes on their way to a file: written, hashed and checksummed in one pass."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from textmill.text.checksums import block_checksums


class HashedWriter:
    """Writes to a file, and makes its sha256 (in a thread of its own) and the checksums of its blocks.

    Args:
        file: open for writing; it is neither flushed nor closed.
        block_bytes: bytes in a block.

    Attributes:
        num_bytes: bytes written so far.
    """

    def __init__(self, file: BinaryIO, block_bytes: int) -> None:
        self.num_bytes = 0
        self._file = file
        self._block_bytes = block_bytes
        self._digest = hashlib.sha256()
        self._rest = np.empty(0, np.uint8)
        self._checksums: list[NDArray[np.uint64]] = []
        self._hasher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sha256")
        self._hashing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hasher.shutdown()

    def write(self, values: NDArray | bytes) -> None:
        """Write an array's bytes as they lie in memory. The array must not change before the next call returns."""
        data = np.frombuffer(values, np.uint8) if isinstance(values, bytes) else _as_bytes(values)
        self._wait()
        self._hashing = self._hasher.submit(self._digest.update, data.data)
        self._file.write(data.data)
        self.num_bytes += len(data)
        self._add_blocks(data)

    def sha256(self) -> str:
        """Return the hash of all bytes, 64 hexadecimal digits."""
        self._wait()
        return self._digest.hexdigest()

    def checksums(self) -> NDArray[np.uint64]:
        """Return the checksums of all blocks, uint64[blocks]; what comes after the last whole one is a block too."""
        return np.concatenate([*self._checksums, block_checksums(self._rest, self._block_bytes)])

    def _wait(self) -> None:
        if self._hashing is not None:
            self._hashing.result()
            self._hashing = None

    def _add_blocks(self, data: NDArray[np.uint8]) -> None:
        if len(self._rest):
            missing = self._block_bytes - len(self._rest)
            self._rest = np.concatenate([self._rest, data[:missing]])
            data = data[missing:]
            if len(self._rest) < self._block_bytes:
                return
            self._checksums.append(block_checksums(self._rest, self._block_bytes))
        whole = len(data) - len(data) % self._block_bytes
        self._checksums.append(block_checksums(data[:whole], self._block_bytes))
        self._rest = data[whole:].copy()


def _as_bytes(values: NDArray) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)
