"""A shuffle without memory: the place of any element of a random order, computed on its own.

A balanced Feistel network over the next power of four, keyed by a hash, walked again until the place is inside the
range (cycle walking, Black and Rogaway 2002). The order never depends on numpy's or torch's generators.
"""

from __future__ import annotations

import hashlib

import numpy as np

_ROUNDS = 6
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def hash_key(*parts: int | str) -> int:
    """Hash numbers and names to 64 bits; the same on every machine and version."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big")


def permute(index: np.ndarray, size: int, key: int) -> np.ndarray:
    """Place elements in a random order of ``range(size)``.

    Args:
        index: int64[n] in [0, size).
        size: how many elements the order has, at least 1.
        key: 64 bits that choose the order.

    Returns:
        int64[n] in [0, size): ``permute(arange(size), size, key)`` holds each number once.
    """
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    value = _feistel(index.astype(np.uint64), half_bits, key)
    while (outside := value >= size).any():
        value[outside] = _feistel(value[outside], half_bits, key)
    return value.astype(np.int64)


def _feistel(value: np.ndarray, half_bits: int, key: int) -> np.ndarray:
    bits, mask = np.uint64(half_bits), np.uint64((1 << half_bits) - 1)
    left, right = value >> bits, value & mask
    for number in range(_ROUNDS):
        left, right = right, left ^ (_mix(right + np.uint64(hash_key(key, number))) & mask)
    return (left << bits) | right


def _mix(value: np.ndarray) -> np.ndarray:
    """Scramble 64 bits (the finaliser of splitmix64, Steele, Lea and Flood 2014); overflow wraps on purpose."""
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
