"""Which records a step has: each once in every epoch, and each epoch in another order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill.data.permutation import hash_key, permute


def numbers_of(step: int, num_records: int, *, per_step: int, seed: int) -> NDArray[np.int64]:
    """Tell the numbers of the records of a step, int64[per_step]; a pure function of what it is given.

    Args:
        step: counted from 0.
        num_records: there are, at least 1; a step may hold more, and goes on with the next epoch.
        per_step: records of a step.
        seed: chooses the orders.
    """
    at = np.arange(step * per_step, (step + 1) * per_step)
    epochs, within = np.divmod(at, num_records)
    numbers = np.empty_like(at)
    for epoch in set(epochs.tolist()):
        of_epoch = epochs == epoch
        numbers[of_epoch] = permute(within[of_epoch], num_records, hash_key("order", seed, epoch))
    return numbers
