"""The twin of ``permutation.permute`` in numpy."""

from __future__ import annotations

import numpy as np

from textmill.data.permutation import hash_key, scramble
from textmill.text.feistel import ROUNDS


def permute(index: np.ndarray, size: int, key: int) -> np.ndarray:
    """Place elements int64[n] in a random order of ``range(size)``; returns int64[n]."""
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    value = _feistel(index.astype(np.uint64), half_bits, key)
    while (outside := value >= size).any():
        value[outside] = _feistel(value[outside], half_bits, key)
    return value.astype(np.int64)


def _feistel(value: np.ndarray, half_bits: int, key: int) -> np.ndarray:
    bits, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = value >> bits, value & mask
    for number in range(ROUNDS):
        left, right = right, left ^ (scramble(right + np.uint64(hash_key(key, number))) & mask)
    return (left << bits) | right
