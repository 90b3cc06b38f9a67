"""Documents that stay, with their names and scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill.text.text_batch import TextBatch


@dataclass(frozen=True, slots=True, eq=False)
class KeptBatch:
    """Documents that stay.

    Attributes:
        texts: their texts.
        names: their ids.
        scores: float32[n]: of the quality classifier, or the field ``score`` of their records, or 0.
    """

    texts: TextBatch
    names: TextBatch
    scores: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, chosen: NDArray[np.bool_]) -> KeptBatch:
        """Keep the documents where ``chosen``, bool[n], is true."""
        if chosen.all():
            return self
        return KeptBatch(self.texts.select(chosen), self.names.select(chosen), self.scores[chosen])
