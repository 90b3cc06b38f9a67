"""What became of a pipeline's documents: ``report.json`` beside the shard sets, and what the command prints."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import DataError
from textmill.data.manifest import MANIFEST
from textmill.data.pipeline import Pipeline
from textmill.data.unit_report import UnitReport

REPORT = "report.json"
_TOTALS = [f"{part}_num_{what}" for part in ("train", "heldout") for what in ("documents", "tokens", "bytes")]


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareReport:
    """What became of a pipeline's documents.

    Attributes:
        folder: the output folder.
        job: the hash of the job that made it.
        sources: by source, what happened in its units.
        totals: by source, documents, tokens and bytes of text, trained on (``train_num_tokens``) and held out.
        duplicates: what deduplication found, as plain data; empty where it did not look.
        rules_off: rules of presets that are off, and items that cannot be found, with why.
    """

    folder: Path
    job: str
    sources: dict[str, UnitReport]
    totals: dict[str, dict[str, int]]
    duplicates: dict[str, Any]
    rules_off: tuple[str, ...] = ()

    def to_table(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            "job": self.job,
            "sources": {name: report.to_table() | self.totals[name] for name, report in self.sources.items()},
            "duplicates": self.duplicates,
            "rules_off": list(self.rules_off),
        }


def report_of(path: Path) -> PrepareReport:
    """Read a report; raises ``DataError`` where it is damaged."""
    try:
        table = json.loads(path.read_text())
        sources = {name: UnitReport.from_table(source) for name, source in table["sources"].items()}
        return PrepareReport(
            folder=path.parent,
            job=table["job"],
            sources=sources,
            totals={name: {key: int(source[key]) for key in _TOTALS} for name, source in table["sources"].items()},
            duplicates=dict(table["duplicates"]),
            rules_off=tuple(table["rules_off"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error!r}; prepare the data again") from error


def read_report(pipeline: Pipeline, job: str) -> PrepareReport | None:
    """Read the report of an output folder; None where it is of another job or damaged, or a set is missing."""
    folder = Path(pipeline.output.dir)
    if not (folder / REPORT).is_file():
        return None
    try:
        report = report_of(folder / REPORT)
    except DataError:
        return None
    if report.job != job:
        return None
    for root, part in ((folder, "train"), (pipeline.heldout_dir, "heldout")):
        for name, total in report.totals.items():
            if total[f"{part}_num_documents"] and not (root / name / MANIFEST).is_file():
                return None
    return report
