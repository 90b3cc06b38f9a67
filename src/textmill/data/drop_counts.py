"""How many documents were dropped by which rule, with samples to look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.data.kept_batch import KeptBatch

MAX_SAMPLES = 3
_SAMPLE_CHARACTERS = 200


@dataclass(slots=True)
class DropCounts:
    """Dropped documents, by rule in the order in which the rules first dropped one.

    Attributes:
        counts: documents.
        samples: the first few: id, the text's beginning, and why, as far as more is known than the rule.
    """

    counts: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    def add(
        self, rule: str, batch: KeptBatch, dropped: NDArray[np.bool_], why: Callable[[int], str] | None = None
    ) -> None:
        """Count the documents of a batch where ``dropped``, bool[n], is true; ``why`` says more of the i-th."""
        places = np.flatnonzero(dropped)
        if not len(places):
            return
        self.counts[rule] = self.counts.get(rule, 0) + len(places)
        samples = self.samples.setdefault(rule, [])
        for place in places[: MAX_SAMPLES - len(samples)].tolist():
            sample = {"id": batch.names[place].decode(), "text": beginning(batch.texts[place])}
            samples.append(sample | ({"why": why(place)} if why else {}))

    def merge(self, other: DropCounts) -> None:
        """Add the documents of the units that follow."""
        for rule, count in other.counts.items():
            self.counts[rule] = self.counts.get(rule, 0) + count
            samples = self.samples.setdefault(rule, [])
            samples += other.samples[rule][: MAX_SAMPLES - len(samples)]

    def to_table(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {rule: {"count": count, "samples": self.samples[rule]} for rule, count in self.counts.items()}

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> DropCounts:
        """Read what ``to_table`` made."""
        return cls(
            {rule: entry["count"] for rule, entry in table.items()},
            {rule: entry["samples"] for rule, entry in table.items()},
        )


def beginning(text: bytes) -> str:
    """The first 200 characters of a text, for whoever looks at a sample."""
    return text[: 4 * _SAMPLE_CHARACTERS].decode(errors="replace")[:_SAMPLE_CHARACTERS]
