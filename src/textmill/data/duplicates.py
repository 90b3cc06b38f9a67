"""The stage that looks at all documents together: which of them are duplicates, and which one of each cluster stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textmill.data.engines.engine import Engine
from textmill.data.job import Job
from textmill.data.prepare_listener import KeptSource, PrepareListener
from textmill.data.read_stage import Units
from textmill.data.work_folder import WorkFolder


@dataclass(frozen=True, slots=True)
class Found:
    """Which documents stay.

    Attributes:
        folder: of flags and sizes, by source and unit; None where nothing was looked for.
        read_bytes: bytes of all texts.
        sources: what stays of each source.
        report: what was found, as plain data.
    """

    folder: Path | None
    read_bytes: int
    sources: dict[str, KeptSource]
    report: dict[str, Any] = field(default_factory=dict)

    def keep_of(self, source: str, unit: str) -> Path | None:
        """The file that says which documents of a unit stay, bool[n]; None where all do."""
        return None if self.folder is None else self.folder / source / f"{unit}.keep.npy"

    def sizes_of(self, source: str, unit: str) -> Path | None:
        """The file that says how many documents each of a unit stands for, uint32[n]; None where nobody looked."""
        return None if self.folder is None else self.folder / source / f"{unit}.sizes.npy"


def find_duplicates_of(
    job: Job, work: WorkFolder, units: Units, engine: Engine, listener: PrepareListener
) -> Found:
    """TEMPORARY."""
    import hashlib

    import numpy as np

    from textmill.data.kept_texts import KeptTexts

    seen: set[bytes] = set()
    total = 0
    sources = {}
    for name, names in units.items():
        n = d = kept_bytes = 0
        (work.duplicates / name).mkdir(parents=True, exist_ok=True)
        for unit in names:
            kept = KeptTexts(work.read / name / unit)
            keep = np.ones(len(kept), bool)
            for i, text in enumerate(kept.texts):
                h = hashlib.blake2b(text).digest()
                keep[i] = h not in seen or not job.pipeline.dedup.exact
                seen.add(h)
                total += len(text)
                kept_bytes += len(text) if keep[i] else 0
            np.save(work.duplicates / name / f"{unit}.keep.npy", keep)
            n += int(keep.sum())
            d += int((~keep).sum())
            sources[name] = KeptSource(n, kept_bytes, d)
            np.save(work.duplicates / name / f"{unit}.sizes.npy", np.ones(len(kept), np.uint32))
    return Found(work.duplicates, total, sources)
