"""A text as one vector: the mean of its tokens' states."""

from __future__ import annotations

import numpy as np

from textmill.base.errors import DataError
from textmill.infer.answer import Answer, Ending
from textmill.infer.request import Request


class MeanState:
    """Sums the states of a text in the order of its tokens, in float64: the same bits however the text is cut.

    Attributes:
        answer: for ``Batcher.submit``: it reads the text, and nothing is drawn.
    """

    def __init__(self, ids: list[int], *, num_ids: int, adapter: int | None = None) -> None:
        """Take a text's ids; ``num_ids`` as in ``Ending``, ``adapter`` as in ``Answer``."""
        self._sum_D: np.ndarray | None = None
        ending = Ending(max_tokens=0, num_ids=num_ids)
        self.answer = Answer(
            ids, Request(), ending, seed=0, on_prompt_rows=self._add, reads_states=True, adapter=adapter
        )

    def value(self) -> np.ndarray:
        """The mean [width], once the answer has finished.

        Raises:
            DataError: the model's states are not finite.
        """
        list(self.answer.take_deltas())  # raises what kept the rows from coming
        assert self._sum_D is not None, "the answer was not run to its end"
        mean_D = self._sum_D / len(self.answer.ids)
        if not np.isfinite(mean_D).all():
            raise DataError(
                "the model's states of a text are not finite: its weights hold NaN or infinity, or overflow. Look at "
                'the file it came from, or load it with weights="f32"'
            )
        return mean_D

    def _add(self, start: int, states_TD: np.ndarray) -> None:
        """Add rows one after the other: numpy sums pairs only along the last axis."""
        before_1D = np.zeros((1, states_TD.shape[1])) if start == 0 or self._sum_D is None else self._sum_D[None]
        self._sum_D = np.add.reduce(np.concatenate([before_1D, states_TD]), axis=0, dtype=np.float64)
