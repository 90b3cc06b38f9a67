"""What the engine asks of a runner: hold the keys and values of texts, and give logits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class Runner(Protocol):
    """Runs the forward pass of one loaded model.

    A text is opened, extended by chunks of a prompt and then token by token, and closed. Runners say how far their
    logits may move with how a text is cut: ``tolerance`` is the largest absolute difference, 0 for none.
    """

    tolerance: float

    def open(self, capacity: int) -> int:
        """Begin a text of at most ``capacity`` tokens; returns its number."""
        ...

    def extend(self, text: int, ids: Sequence[int]) -> np.ndarray:
        """Append tokens to a text, a chunk of its prompt or the one just drawn; float32 [V] logits after the last."""
        ...

    def close(self, text: int) -> None:
        """Forget a text and give its memory back."""
        ...

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """Logits float32 [T, V] of the token after each, of a text by itself and without a cache."""
        ...
