"""What happened to the records of a unit: counted, with samples, and added up in the order of units."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textmill.data.drop_counts import DropCounts
from textmill.text.decontamination.report import ContaminationCounts

REPORT = "report.json"
CONTAMINATION = "contamination.jsonl"
MAX_SAMPLES = 5


@dataclass(slots=True)
class UnitReport:
    """Counts of a unit, or of several.

    Attributes:
        counts: records read, empty ones, bytes of input and of text, kept documents, masked addresses and the like.
        drops: documents dropped, by rule, with samples.
        bad: the first records that could not be read, as messages; ``counts["bad"]`` counts all.
        contamination: evaluation items that were found, counted.
        hits: each place where one was, as plain data; of one unit alone, in a file of its own.
    """

    counts: Counter[str] = field(default_factory=Counter)
    drops: DropCounts = field(default_factory=DropCounts)
    bad: list[str] = field(default_factory=list)
    contamination: ContaminationCounts = field(default_factory=ContaminationCounts)
    hits: list[dict[str, Any]] = field(default_factory=list)

    def add_bad(self, message: str) -> None:
        """Count a record that could not be read."""
        self.counts["bad"] += 1
        if len(self.bad) < MAX_SAMPLES:
            self.bad.append(message)

    def add(self, other: UnitReport) -> None:
        """Add what happened in the units that follow, all but the places of hits."""
        self.counts.update(other.counts)
        self.drops.merge(other.drops)
        self.bad = [*self.bad, *other.bad][:MAX_SAMPLES]
        self.contamination.merge(other.contamination)

    def to_table(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "counts": dict(self.counts),
            "drops": self.drops.to_table(),
            "bad": self.bad,
            "contamination": self.contamination.to_json(),
        }

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> UnitReport:
        """Read what ``to_table`` made."""
        contamination = ContaminationCounts.from_json(table["contamination"])
        return cls(Counter(table["counts"]), DropCounts.from_table(table["drops"]), table["bad"], contamination)

    def write(self, folder: Path) -> None:
        """Write it into a unit's folder."""
        (folder / REPORT).write_text(json.dumps(self.to_table(), ensure_ascii=False))
        if self.hits:
            lines = (json.dumps(hit, ensure_ascii=False) + "\n" for hit in self.hits)
            (folder / CONTAMINATION).write_text("".join(lines), encoding="utf-8")

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
