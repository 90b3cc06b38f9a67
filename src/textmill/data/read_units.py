"""The first stage: units of input are read, cleaned, judged; what stays is kept, or made tokens at once.

A task is a unit, or the chain of units of a file that has to be read from its start. Each unit's result is a folder of
its own (``unit_folders``), so that a second start goes on inside a file.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from textmill.base.config import from_table, to_table
from textmill.base.errors import DataError
from textmill.base.files import write_file
from textmill.data.dedup_settings import minhash_settings, wants_keys
from textmill.data.job import check_named, source_input
from textmill.data.kept_batch import KeptBatch
from textmill.data.kept_texts import KeptTextsWriter
from textmill.data.pipeline import DedupTable, RunTable, SourceTable
from textmill.data.text_steps import TextSteps
from textmill.data.token_units import TokenSettings, TokenWriter
from textmill.data.unit_folders import is_whole, unit_folder
from textmill.data.unit_report import UnitReport
from textmill.text.dedup import UnitKeys
from textmill.text.reading import BadRecord, Unit, UnitReading, read_chain


@dataclass(frozen=True, slots=True)
class ReadTask:
    """A unit to read, or a chain of them.

    Attributes:
        folder: where the source's units go.
        source: how it is read, and what is done to it.
        unit: what to read.
        run: limits, and what becomes of bad records.
        dedup: how documents are compared.
        tokens: how tokens are made at once, where no document has to wait for others; then there is nothing to keep.
        threads: that the task may use.
        named: files that the pipeline names, with their sha256.
        job: the hash of the job, so that a process makes the steps of a source anew for another one.
    """

    folder: Path
    source: SourceTable
    unit: Unit
    run: RunTable
    dedup: DedupTable
    tokens: TokenSettings | None
    threads: int
    named: Mapping[str, str]
    job: str


def unit_name(key: tuple[int, int]) -> str:
    """Name a unit's folder; names in their order are units in the order of their documents."""
    return f"{key[0]:08d}-{key[1]:06d}"


def chain_file(folder: Path, unit: Unit) -> Path:
    """Where it stands that a task is done, and which units it has."""
    return folder / f"{unit_name(unit.key)}.done"


def read_task(task: ReadTask) -> tuple[list[str], Path]:
    """Do a task; returns the names of its units, and the folder where they are.

    Raises:
        DataError: a record is bad and the pipeline says ``on_bad = "stop"``; a file cannot be read, or changed.
        StorageError: the disk is full.
    """
    reports: list[UnitReport] = [UnitReport()]

    def on_bad(bad: BadRecord) -> None:
        if task.run.on_bad == "stop":
            raise DataError(str(bad))
        reports[-1].add_bad(str(bad))

    steps = steps_of(json.dumps(to_table(task.source)), task.threads, json.dumps(task.named), task.job)
    done = _done_units(task)
    source = source_input(task.run, task.source)
    for reading in read_chain(task.unit, source, on_bad=on_bad, done=done, num_threads=task.threads):
        with unit_folder(task.folder / unit_name(reading.unit.key)) as folder:
            _write_unit(folder, task, steps, reading, reports[-1])
        done.add(reading.unit.key)
        reports.append(UnitReport())
    names = sorted(map(unit_name, done))
    write_file(chain_file(task.folder, task.unit), json.dumps(names))
    return names, task.folder


def _done_units(task: ReadTask) -> set[tuple[int, int]]:
    """The keys of a task's units that are there."""
    if not task.unit.is_chain:
        return {task.unit.key} if is_whole(task.folder / unit_name(task.unit.key)) else set()
    first, stretch = task.unit.key[0], 0
    while is_whole(task.folder / unit_name((first, stretch))):
        stretch += 1
    return {(first, number) for number in range(stretch)}


def _write_unit(folder: Path, task: ReadTask, steps: TextSteps, reading: UnitReading, report: UnitReport) -> None:
    """Read a unit to its end into a folder."""
    sink = (
        KeptTextsWriter(folder, _keys_maker(task))
        if task.tokens is None
        else TokenWriter(folder, task.tokens, task.threads)
    )
    with sink:
        for records in reading.batches:
            kept = steps.apply(records, report)
            if len(kept.texts):
                sink.add(kept)
    report.counts["empty"] += reading.counts.empty
    report.counts["input_bytes"] += reading.counts.bytes
    report.write(folder)


def _keys_maker(task: ReadTask) -> Callable[[KeptBatch], UnitKeys] | None:
    """What makes the keys of documents; None where they are not compared."""
    if not wants_keys(task.dedup):
        return None
    minhash = minhash_settings(task.dedup)
    return lambda batch: UnitKeys.of(batch.texts, batch.scores, minhash, num_threads=task.threads)


@functools.lru_cache(maxsize=8)
def steps_of(source: str, threads: int, named: str, job: str) -> TextSteps:
    """The steps of a source, made once for each process and job, of its table as JSON and that of files it names."""
    steps = TextSteps(from_table(SourceTable, json.loads(source)), threads)
    check_named(json.loads(named))
    return steps
