"""Names that differ in a number, by the thousand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.text.text_batch import TextBatch


def numbered_names(prefix: bytes, numbers: NDArray[np.int64]) -> TextBatch:
    """Write each of ``numbers``, int64[n], 0 or more, behind ``prefix``."""
    num_digits = np.ones(len(numbers), np.int64)
    rest = numbers // 10
    while rest.any():
        num_digits += rest > 0
        rest = rest // 10
    width = int(num_digits.max(initial=1))
    powers = 10 ** np.arange(width - 1, -1, -1, dtype=np.int64)
    rows = np.empty((len(numbers), len(prefix) + width), np.uint8)
    rows[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    rows[:, len(prefix) :] = numbers[:, None] // powers % 10 + ord("0")
    is_used = np.ones(rows.shape, bool)
    is_used[:, len(prefix) :] = np.arange(width) >= (width - num_digits)[:, None]
    return TextBatch(rows[is_used], np.concatenate(([0], np.cumsum(num_digits + len(prefix)))))
