"""How many of the planted pairs were found, beside what theory says: each with probability 1 - (1 - s^8)^14."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb
from statistics import fmean
from typing import Any

BANDS, ROWS = 14, 8
_TAIL = 0.025


@dataclass(frozen=True)
class Recall:
    """Pairs that were planted with about the same index.

    Attributes:
        wanted, jaccard: the index that they were made for, and the mean of those that they have.
        planted: pairs.
        chance: that one of them is found, on average.
        low, high: the middle 95 % of how many are found, where each is with that chance: a binomial distribution.
        found: by project.
    """

    wanted: float
    jaccard: float
    planted: int
    chance: float
    low: int
    high: int
    found: dict[str, int]

    def is_within(self, project: str) -> bool:
        """Whether as many were found as theory says."""
        return self.low <= self.found[project] <= self.high


def recalls(figures: dict[str, Any]) -> Iterator[Recall]:
    """Compare what was found with theory, by the index that was wanted."""
    for wanted in sorted(set(figures["wanted"])):
        chosen = [number for number, each in enumerate(figures["wanted"]) if each == wanted]
        jaccards = [figures["jaccards"][number] for number in chosen]
        chance = fmean(1 - (1 - jaccard**ROWS) ** BANDS for jaccard in jaccards)
        found = {name: sum(runs[0]["found"][i] for i in chosen) for name, runs in figures["runs"].items()}
        yield Recall(wanted, fmean(jaccards), len(chosen), chance, *band(len(chosen), chance), found)


def band(number: int, chance: float) -> tuple[int, int]:
    """Find the middle 95 % of how many of ``number`` happen."""
    up_to, low = 0.0, None
    for count in range(number + 1):
        up_to += comb(number, count) * chance**count * (1 - chance) ** (number - count)
        if low is None and up_to > _TAIL:
            low = count
        if up_to >= 1 - _TAIL:
            return low or 0, count
    return low or 0, number
