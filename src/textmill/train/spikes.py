"""Jumps of the loss or of the gradient's norm: told from noise by medians, which the jumps themselves do not move.

Loss spikes are met by going back and passing over the batches since (PaLM, arXiv:2204.02311 §5.1; SmolLM2,
arXiv:2502.02737 §4). A step is judged before it moves the weights.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal

from textmill.train.recipe_tables.steps import SpikesTable

# The standard deviation of normal values is so many median absolute deviations.
_NORMAL = 1.4826
# Smaller deviations than this share of the median are taken for it: a run on constant text has none at all.
_LEAST_DEVIATION = 0.01


@dataclass(frozen=True, slots=True)
class Limits:
    """Above what loss and gradient norm are jumps."""

    loss: float
    grad_norm: float


class SpikeWatch:
    """Judges steps by those before. Its memory is plain values, part of a checkpoint.

    Args:
        table: the recipe's ``[spikes]``.
    """

    def __init__(self, table: SpikesTable) -> None:
        self._table = table
        self._losses: deque[float] = deque(maxlen=table.window)
        self._norms: deque[float] = deque(maxlen=table.window)
        self._stage = ""

    def enter(self, stage: str) -> None:
        """Forget what was where another stage begins: its text may be easier or harder."""
        if stage != self._stage:
            self._losses.clear()
            self._norms.clear()
            self._stage = stage

    def judge(self, loss: float, grad_norm: float) -> Literal["fine", "not finite", "spike"]:
        """Judge a step from its loss and the norm of its gradient."""
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            return "not finite"
        limits = self.limits()
        if limits is not None and (loss > limits.loss or grad_norm > limits.grad_norm):
            return "spike"
        return "fine"

    def limits(self) -> Limits | None:
        """Above what a step is a spike; None while there is too little to compare with, or nobody wants to know.

        After ``forget_norms`` any norm will do until there are half a window of them again.
        """
        if self._table.action == "off" or 2 * len(self._losses) < self._table.window:
            return None
        return Limits(self._limit(self._losses), self._limit(self._norms))

    def add(self, loss: float, grad_norm: float) -> None:
        """Take a step that was fine into what later ones are compared with."""
        self._losses.append(loss)
        self._norms.append(grad_norm)

    def forget_norms(self) -> None:
        """Where gradients stay larger than they were there is nothing left to compare them with."""
        self._norms.clear()

    def state(self) -> dict[str, Any]:
        """What it remembers, as JSON keeps it: floats come back as they were."""
        return {"stage": self._stage, "losses": list(self._losses), "grad_norms": list(self._norms)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Remember what ``state`` gave, and nothing else."""
        self._stage = str(state.get("stage", ""))
        for values, name in ((self._losses, "losses"), (self._norms, "grad_norms")):
            values.clear()
            values.extend(float(value) for value in state.get(name, ()))

    def _limit(self, values: deque[float]) -> float:
        if 2 * len(values) < self._table.window:
            return math.inf
        middle = median(values)
        deviation = _NORMAL * median(abs(value - middle) for value in values)
        return middle + self._table.threshold * max(deviation, _LEAST_DEVIATION * abs(middle))
