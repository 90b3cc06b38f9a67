"""A shuffle without memory: the place of any element of a random order, computed on its own.

A balanced Feistel network over the next power of four, keyed by a hash, walked again until the place is inside the
range (cycle walking, Black and Rogaway 2002). The order never depends on numpy's or torch's generators.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from textmill.text.feistel import ROUNDS, feistel_permute

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
    return feistel_permute(index, size, _round_keys(key))


def keyed_numbers(values: np.ndarray, key: int) -> np.ndarray:
    """Hash numbers, int64[n], each on its own, to uint64[n] that look random and do not for another key."""
    return scramble(scramble(values.astype(np.uint64)) + np.uint64(key))


def scramble(value: np.ndarray) -> np.ndarray:
    """Scramble 64 bits (the finaliser of splitmix64, Steele, Lea and Flood 2014); overflow wraps on purpose."""
    value = value + _GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@functools.lru_cache(maxsize=256)
def _round_keys(key: int) -> np.ndarray:
    keys = np.array([hash_key(key, number) for number in range(ROUNDS)], np.uint64)
    keys.setflags(write=False)  # it is shared by all who ask for it
    return keys
