"""A rule: a statistic of a text, and the least or the most that it may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Rule:
    """A bound of a statistic. A text fails beyond the bound, not at it; a statistic that is not a number fails nothing.

    Attributes:
        name: unique in a preset; what a pipeline calls it.
        statistic: a column of ``statistics``.
        kind: whether ``bound`` is the least or the most.
        bound: may be infinite, which turns the rule off.
    """

    name: str
    statistic: str
    kind: Literal["min", "max"]
    bound: float

    def fails(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which values, float64[n], are beyond the bound; returns bool[n]."""
        return values < self.bound if self.kind == "min" else values > self.bound

    def describe(self, value: float) -> str:
        """Say in words how a value fails, as in ``num_words 12, and 50 is the least``."""
        return f"{self.statistic} {value:g}, and {self.bound:g} is the {'least' if self.kind == 'min' else 'most'}"


def at_least(name: str, statistic: str, bound: float) -> Rule:
    """Make a rule that a statistic must be ``bound`` or more."""
    return Rule(name, statistic, "min", bound)


def at_most(name: str, statistic: str, bound: float) -> Rule:
    """Make a rule that a statistic must be ``bound`` or less."""
    return Rule(name, statistic, "max", bound)
