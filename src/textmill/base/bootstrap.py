"""How sure a ratio of sums is, by drawing what it was measured on again.

All draws come from a fixed seed: the same results give the same interval.
"""

from __future__ import annotations

import numpy as np

_RESAMPLES = 1000
_DRAWS_AT_ONCE = 1 << 22
_SEED = 20_240_229


def bootstrap_ratio(amounts_N: np.ndarray, sizes_N: np.ndarray) -> tuple[float, float] | None:
    """The 95 % interval of ``sum(amounts) / sum(sizes)``, over documents drawn with replacement (percentiles).

    Args:
        amounts_N: float64 [N], such as each document's bits.
        sizes_N: float64 [N], such as its bytes; above 0.

    Returns:
        None for fewer than two documents: one says nothing of others.
    """
    amounts_N, sizes_N = np.asarray(amounts_N, np.float64), np.asarray(sizes_N, np.float64)
    count = len(sizes_N)
    if count < 2:
        return None
    rng = np.random.default_rng(_SEED)
    ratios = np.empty(_RESAMPLES)
    step = max(1, _DRAWS_AT_ONCE // count)
    for begin in range(0, _RESAMPLES, step):
        drawn_RN = rng.integers(0, count, (min(step, _RESAMPLES - begin), count))
        ratios[begin : begin + len(drawn_RN)] = amounts_N[drawn_RN].sum(axis=1) / sizes_N[drawn_RN].sum(axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)
