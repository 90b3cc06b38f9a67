"""Checksums of the blocks of a file, quicker than a disk is read: a block can be checked when it is first used."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill import _core


def block_checksums(data: NDArray[np.uint8] | bytes, block_bytes: int) -> NDArray[np.uint64]:
    """Compute 64 bits for each block of ``block_bytes`` bytes, the last one shorter.

    Any change inside one word of 8 bytes shows. It is no defence against somebody who means harm, which a sha256 is.

    Returns:
        uint64[blocks].
    """
    array = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data
    return _core.block_checksums(array, block_bytes)
