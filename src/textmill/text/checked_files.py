"""Mapped files whose blocks are checked when they are first touched, so that nothing damaged is ever used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import DataError


class CheckedFiles:
    """Files with a checksum for each of their blocks.

    Args:
        paths: the files, to be named in errors.
        contents: uint8[n] of each; they stay in memory, or mapped, as long as this lives.
        checksums: uint64[blocks] of each; a file with none is never checked.
        block_bytes: bytes in a block.
        remedy: how a damaged file is got back, to end its error with.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        contents: Sequence[NDArray[np.uint8]],
        checksums: Sequence[NDArray[np.uint64]],
        block_bytes: int,
        remedy: str,
    ) -> None:
        self.native = _core.CheckedFiles(contents, checksums, block_bytes)
        self._paths = paths
        self._num_bytes = [len(content) for content in contents]
        self._block_bytes = block_bytes
        self._remedy = remedy

    def check(self, file: int, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        """Check the blocks that hold the bytes [begin, end) of a file, those that have not been checked before.

        Raises:
            DataError: one of them is not what its checksum says.
        """
        self.refuse(self.native.check(file, begins, ends))

    def refuse(self, damage: tuple[int, int] | None) -> None:
        """Raise ``DataError`` for a damaged block, (file, number), if there is one."""
        if damage is None:
            return
        file, block = damage
        begin = block * self._block_bytes
        end = min(begin + self._block_bytes, self._num_bytes[file])
        raise DataError(
            f"{self._paths[file]} is damaged: its block {block} (bytes {begin:,} to {end - 1:,}) does not have the "
            f"checksum that was written with it; {self._remedy}"
        )
