"""Guesses of the tokens to come, for the model to verify several at once: texts repeat themselves.

Prompt-lookup decoding: where the last few tokens stood before in prompt or answer, the text went on in some way then,
and may do so again. A guess costs nothing; what is drawn does not depend on it (``Answer.extend``).
"""

from __future__ import annotations

from collections.abc import Sequence

# Two tokens recur by chance, and a wrong guess makes a step longer. Longer matches are right more often, so come first.
_SIZES = (4, 3)


class PromptLookup:
    """Where each n-gram of one growing text ended last."""

    def __init__(self) -> None:
        self._ends: dict[tuple[int, ...], int] = {}
        self._num_read = 0

    def guess(self, ids: Sequence[int], count: int) -> list[int]:
        """Guess ``count`` tokens after ``ids``, of which earlier calls have seen a beginning; or none.

        A text that went on right up to its own end is guessed to go round.
        """
        self._read(ids)
        for size in _SIZES:
            end = self._ends.get(tuple(ids[-size:]))
            if end is not None:
                return [ids[end + i % (len(ids) - end)] for i in range(count)]
        return []

    def _read(self, ids: Sequence[int]) -> None:
        """Note all n-grams but the last ones, which everything would be a repetition of."""
        for end in range(self._num_read, len(ids)):
            for size in _SIZES:
                if end >= size:
                    self._ends[tuple(ids[end - size : end])] = end
        self._num_read = max(self._num_read, len(ids))
