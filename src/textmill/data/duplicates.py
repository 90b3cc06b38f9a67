"""The stage that looks at all documents together: which of them are duplicates, and which one of each cluster stays."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textmill.data.dedup_settings import minhash_settings, wants_keys
from textmill.data.drop_counts import beginning
from textmill.data.engines.engine import Engine
from textmill.data.job import Job
from textmill.data.kept_texts import KEYS, KeptTexts, read_texts, text_bytes
from textmill.data.prepare_listener import KeptSource, PrepareListener
from textmill.data.read_stage import Units
from textmill.data.work_folder import WorkFolder
from textmill.text.dedup import DedupSettings, StoredKeys, find_duplicates, measure_recall
from textmill.text.dedup.verdicts import read_verdict, verdict_file
from textmill.text.text_batch import TextBatch


@dataclass(frozen=True, slots=True)
class Found:
    """Which documents stay.

    Attributes:
        folder: of verdicts; None where nothing was looked for.
        numbers: the verdict of each unit, by source and name.
        read_bytes: bytes of all texts.
        sources: what stays of each source.
        report: what was found, as plain data.
    """

    folder: Path | None
    numbers: dict[tuple[str, str], int]
    read_bytes: int
    sources: dict[str, KeptSource]
    report: dict[str, Any]

    def sizes_of(self, source: str, unit: str) -> Path | None:
        """The file that says how many documents each of a unit stands for, uint32[n]; 0 for those that are dropped.

        None where nobody looked: all stay.
        """
        return None if self.folder is None else verdict_file(self.folder, self.numbers[source, unit])


def find_duplicates_of(job: Job, work: WorkFolder, units: Units, engine: Engine, listener: PrepareListener) -> Found:
    """Compare all documents that were read, in this process; the verdicts go to ``work.duplicates``.

    Raises:
        StorageError: the disk is full.
    """
    dedup, run = job.pipeline.dedup, job.pipeline.run
    places = [(source, unit) for source, names in units.items() for unit in names]
    folders = [work.read / source / unit for source, unit in places]
    report: dict[str, Any] = {}
    if wants_keys(dedup):
        num_bytes = sum(map(text_bytes, folders))
        listener.stage("looking for duplicates", num_bytes)
        listener.progress(0)
        keys = [StoredKeys.open(folder / KEYS, source) for folder, (source, _) in zip(folders, places, strict=True)]
        settings = DedupSettings(exact=dedup.exact, minhash=minhash_settings(dedup), scope=dedup.scope, keep=dedup.keep)
        found = find_duplicates(
            keys,
            settings,
            lambda unit, documents: read_texts(folders[unit], documents),
            folder=work.duplicates,
            memory_limit=run.memory_mb << 20,
            threads=engine.threads_here,
            # Its steps are about as long as one another.
            progress=lambda done, total: listener.progress(num_bytes * done // total),
        )
        report = found.to_json() | {"biggest": [_cluster(cluster, folders) for cluster in found.biggest]}
        if settings.minhash is not None and dedup.recall_sample:
            listener.stage("measuring how many duplicates are found", None)
            sample = _sample(folders, dedup.recall_sample)
            points = measure_recall(
                sample,
                settings.minhash,
                folder=work.path,
                memory_limit=run.memory_mb << 20,
                threads=engine.threads_here,
            )
            report["recall"] = [asdict(point) for point in points]
    folder = work.duplicates if wants_keys(dedup) else None
    sources, read_bytes = _count(units, places, folders, folder)
    return Found(folder, {place: number for number, place in enumerate(places)}, read_bytes, sources, report)


def _sample(folders: list[Path], num_texts: int) -> TextBatch:
    """Take the first texts of all units, about as many of each."""
    batches = []
    for index, folder in enumerate(folders):
        kept = KeptTexts(folder)
        share = (num_texts * (index + 1)) // len(folders) - (num_texts * index) // len(folders)
        batches.append(kept.texts.between(0, min(share, len(kept))))
    return TextBatch.joined(batches)


def _cluster(cluster: Any, folders: list[Path]) -> dict[str, Any]:
    """Name the documents of a cluster, and show how the one that stays begins."""

    def name(place: tuple[int, int]) -> str:
        return KeptTexts(folders[place[0]]).names[place[1]].decode()

    unit, number = cluster.kept
    (text,) = KeptTexts(folders[unit]).texts.between(number, number + 1)
    return {
        "size": cluster.size,
        "kept": name(cluster.kept),
        "dropped": [name(place) for place in cluster.dropped],
        "text": beginning(text),
    }


def _count(
    units: Units, places: list[tuple[str, str]], folders: list[Path], verdicts: Path | None
) -> tuple[dict[str, KeptSource], int]:
    """Add up what stays of each source, and the bytes of all texts."""
    totals = {source: np.zeros(3, np.int64) for source in units}
    read_bytes = 0
    for number, ((source, _), folder) in enumerate(zip(places, folders, strict=True)):
        lengths = KeptTexts(folder).texts.lengths
        read_bytes += int(lengths.sum())
        kept = np.ones(len(lengths), bool) if verdicts is None else read_verdict(verdicts, number).kept
        totals[source] += (kept.sum(), lengths[kept].sum(), (~kept).sum())
    return {source: KeptSource(*map(int, total)) for source, total in totals.items()}, read_bytes
