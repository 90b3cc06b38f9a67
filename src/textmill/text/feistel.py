"""A keyed order of a range of numbers, each one's place computed on its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill import _core

ROUNDS = 6


def feistel_permute(numbers: NDArray[np.int64], size: int, round_keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Place numbers in a random order of ``range(size)`` by a balanced Feistel network, walked until it is inside.

    Args:
        numbers: int64[n] in [0, size).
        size: how many numbers the order has.
        round_keys: uint64[6], which choose the order.

    Returns:
        int64[n] in [0, size).
    """
    return _core.feistel_permute(numbers, size, round_keys)
