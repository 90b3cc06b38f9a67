"""How sure a figure is, and whether two differ by more than chance.

All draws come from a fixed seed: the same results give the same interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from textmill.base.bootstrap import bootstrap_ratio

_Z = 1.959963984540054  # of the normal distribution, two sides of 95 %
_EXACT_MAX = 20  # differences whose signs are flipped in every way, 2^19 of them up to the sign of all
_FLIPS = 9_999
_DRAWS_AT_ONCE = 1 << 22
_SEED = 20_240_229


def wilson(num_right: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a share (E. B. Wilson, 1927, JASA 22:209); it stays within 0 and 1, and needs no draw."""
    if count == 0:
        return 0.0, 1.0
    share = num_right / count
    middle = share + _Z**2 / (2 * count)
    spread = _Z * math.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    scale = 1 + _Z**2 / count
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def bootstrap_difference(a_N: np.ndarray, b_N: np.ndarray, sizes_N: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of ``sum(b - a) / sum(sizes)`` where both were measured on the same N documents or items."""
    return bootstrap_ratio(np.asarray(b_N, np.float64) - np.asarray(a_N, np.float64), sizes_N)


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two models on the same items, right or wrong.

    Attributes:
        only_a: items that only the first got right; ``only_b``: only the second.
        p_value: how often chance alone gives a split at least as uneven, two-sided.
    """

    only_a: int
    only_b: int
    p_value: float


def mcnemar(only_a: int, only_b: int) -> McNemar:
    """McNemar's exact test (1947, Psychometrika 12:153): a fair coin for each item that one got right and one wrong."""
    count, least = only_a + only_b, min(only_a, only_b)
    # Whole numbers: a tail of thousands of items does not run out of float64.
    ways = tail = 1
    for k in range(least):
        ways = ways * (count - k) // (k + 1)
        tail += ways
    return McNemar(only_a, only_b, min(1.0, 2 * tail / (1 << count)))


def sign_flip_test(a_N: np.ndarray, b_N: np.ndarray) -> float:
    """How often the difference of two sums is at least as large where chance says which of each pair is a's, two-sided.

    The paired randomisation test (R. A. Fisher, 1935, The Design of Experiments, section 21): every way of up to 20
    pairs that differ, 9,999 drawn ones of more. With fewer than six such pairs it is never below 0.05.

    Args:
        a_N: float64 [N], such as each document's bits by one model.
        b_N: float64 [N], by the other.
    """
    differences_N = np.asarray(b_N, np.float64) - np.asarray(a_N, np.float64)
    differences_N = differences_N[differences_N != 0]
    if not len(differences_N):
        return 1.0
    # Sums of the same numbers in another order differ by their rounding.
    least = abs(differences_N.sum()) - 1e-12 * np.abs(differences_N).sum()
    if len(differences_N) <= _EXACT_MAX:
        sums = differences_N[:1]
        for difference in differences_N[1:]:
            sums = np.concatenate([sums + difference, sums - difference])
        return float((np.abs(sums) >= least).mean())
    rng = np.random.default_rng(_SEED)
    num_as_large = 0
    step = max(1, _DRAWS_AT_ONCE // len(differences_N))
    for begin in range(0, _FLIPS, step):
        flipped_RN = rng.integers(0, 2, (min(step, _FLIPS - begin), len(differences_N)), np.int8)
        sums_R = (1 - 2.0 * flipped_RN) @ differences_N
        num_as_large += int((np.abs(sums_R) >= least).sum())
    return (1 + num_as_large) / (1 + _FLIPS)
