"""What a step of a rule set says of texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill.text.text_batch import TextBatch


@dataclass(frozen=True, slots=True, eq=False)
class Judgement:
    """The judgement of one step.

    Attributes:
        failed: int16[n]: the number of the first rule of the step that a text fails, -1 where it fails none.
        values: float64[n]: the statistic of that rule.
        texts: the texts, changed or not.
    """

    failed: NDArray[np.int16]
    values: NDArray[np.float64]
    texts: TextBatch

    @classmethod
    def of_flags(cls, fails: NDArray[np.bool_], texts: TextBatch) -> Judgement:
        """Say that some texts, bool[n], fail the only rule of a step."""
        return cls(np.where(fails, 0, -1).astype(np.int16), np.ones(len(texts)), texts)
