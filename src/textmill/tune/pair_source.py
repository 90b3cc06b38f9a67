"""The pairs of a step as a pure function of the pairs, the seed and the step; each epoch has another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill.tune.answer_rows import AnswerBatch, pack
from textmill.tune.order import numbers_of
from textmill.tune.preference_tokens import Pair


@dataclass(frozen=True, slots=True)
class PairBatch(AnswerBatch):
    """Pairs in rows: answer ``2 i`` is the chosen one of pair i, ``2 i + 1`` the rejected one, both in the same row.

    Attributes:
        reference: float64[pairs, 2], log-probabilities under the model that tuning began from: chosen, rejected.
    """

    reference: NDArray[np.float64] | None = None


class PairSource:
    """Makes the batch of any step.

    Args:
        pairs: at least one.
        reference: float64[pairs, 2], as ``reference_log_p`` gives them.
        pairs_per_step: of a batch, over all ranks.
        seed: chooses the order.
    """

    def __init__(
        self, pairs: Sequence[Pair], reference: NDArray[np.float64], *, pairs_per_step: int, seed: int
    ) -> None:
        assert len(pairs) == len(reference) > 0
        self.pairs_per_step = pairs_per_step
        # A row holds a pair, so that no cut of a batch into rows takes one apart.
        self.context = max(pair.chosen.num_inputs + pair.rejected.num_inputs for pair in pairs)
        self._pairs, self._reference, self._seed = pairs, reference, seed

    def numbers(self, step: int) -> NDArray[np.int64]:
        """Tell which pairs the batch of a step has, int64[pairs_per_step]: every pair once in each epoch."""
        return numbers_of(step, len(self._pairs), per_step=self.pairs_per_step, seed=self._seed)

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> PairBatch:
        """Make the batch of a step, counted from 0, or a rank's share of its pairs."""
        numbers = self.numbers(step)[rank::world_size]
        pairs = [self._pairs[number] for number in numbers]
        rows = pack([[pair.chosen, pair.rejected] for pair in pairs], context=self.context)
        return PairBatch(**rows.parts(), reference=self._reference[numbers])
