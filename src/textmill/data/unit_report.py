"""What happened to the records of a unit: counted, with samples, and added up in the order of units."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textmill.data.drop_counts import DropCounts

REPORT = "report.json"
MAX_SAMPLES = 5


@dataclass(slots=True)
class UnitReport:
    """Counts of a unit, or of several.

    Attributes:
        counts: records read, empty ones, bytes of input and of text, kept documents, masked addresses and the like.
        drops: documents dropped, by rule, with samples.
        bad: the first records that could not be read, as messages; ``counts["bad"]`` counts all.
        contamination: spans of evaluation items that were found, as plain data.
    """

    counts: Counter[str] = field(default_factory=Counter)
    drops: DropCounts = field(default_factory=DropCounts)
    bad: list[str] = field(default_factory=list)
    contamination: list[dict[str, Any]] = field(default_factory=list)

    def add_bad(self, message: str) -> None:
        """Count a record that could not be read."""
        self.counts["bad"] += 1
        if len(self.bad) < MAX_SAMPLES:
            self.bad.append(message)

    def add(self, other: UnitReport) -> None:
        """Add what happened in the units that follow."""
        self.counts.update(other.counts)
        self.drops.merge(other.drops)
        self.bad = [*self.bad, *other.bad][:MAX_SAMPLES]
        self.contamination += other.contamination

    def to_table(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "counts": dict(self.counts),
            "drops": self.drops.to_table(),
            "bad": self.bad,
            "contamination": self.contamination,
        }

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> UnitReport:
        """Read what ``to_table`` made."""
        return cls(Counter(table["counts"]), DropCounts.from_table(table["drops"]), table["bad"], table["contamination"])

    def write(self, folder: Path) -> None:
        """Write it into a unit's folder."""
        (folder / REPORT).write_text(json.dumps(self.to_table(), ensure_ascii=False))

    @classmethod
    def read(cls, folder: Path) -> UnitReport:
        """Read it from a unit's folder."""
        return cls.from_table(json.loads((folder / REPORT).read_text()))


def bytes_done(folder: Path) -> int:
    """How much input a unit's folder stands for, in bytes; 0 where it is gone again."""
    try:
        return int(UnitReport.read(folder).counts["input_bytes"])
    except (OSError, ValueError, KeyError):
        return 0
