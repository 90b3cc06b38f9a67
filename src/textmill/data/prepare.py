"""A pipeline carried out, stage after stage: read, compare, train a tokenizer, make tokens, put the sets in place.

What each stage has done lies in a folder of work (``work_folder``), a unit at a time, and its content depends on
settings and input alone. So the output is the same bytes for any engine and number of processes, and a second start
after any interruption goes on where the first one was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from textmill.base.errors import DataError
from textmill.base.files import new_folder, storage_errors, sync_folder, write_file
from textmill.data.duplicates import Duplicates, find
from textmill.data.engines.engine import Engine
from textmill.data.engines.local import LocalEngine
from textmill.data.holdout_choice import holdout_of
from textmill.data.job import Job, make_job
from textmill.data.pipeline import Pipeline
from textmill.data.pipeline_tokenizer import pipeline_tokenizer
from textmill.data.place_sets import place_sets
from textmill.data.prepare_listener import PrepareListener, Silence
from textmill.data.prepare_report import PrepareReport, make_report, read_report
from textmill.data.read_units import ReadTask, chain_file, read_task
from textmill.data.token_tasks import TokenTask, token_task
from textmill.data.token_units import TokenSettings
from textmill.data.work_folder import WorkFolder, claimed

TaskT = TypeVar("TaskT")


def prepare(
    pipeline: Pipeline, engine: Engine | None = None, listener: PrepareListener | None = None
) -> PrepareReport:
    """Carry out a pipeline: raw files become a shard set for each source, below ``output.dir``.

    Args:
        pipeline: what is to be done.
        engine: where; None is this machine, a process for each core.
        listener: told of every stage.

    Returns:
        what became of the documents; also as report.json in the output folder.

    Raises:
        ConfigError: the pipeline cannot be carried out as it is, or another process is at it.
        DataError: a source has no text, or a bad record is met and the pipeline says ``on_bad = "stop"``.
        StorageError: the disk is full. What was done stays, and a second start goes on.
    """
    listener = listener or Silence()
    own_engine = engine is None
    engine = engine or LocalEngine()
    try:
        return _Preparation(pipeline, engine, listener).run()
    finally:
        if own_engine:
            engine.close()


class _Preparation:
    def __init__(self, pipeline: Pipeline, engine: Engine, listener: PrepareListener) -> None:
        self._pipeline, self._engine, self._listener = pipeline, engine, listener
        self._output = Path(pipeline.output.dir)

    def run(self) -> PrepareReport:
        """Go through the stages."""
        self._listener.stage("looking at the input", None)
        job = make_job(self._pipeline)
        if (report := read_report(self._output, job.hash)) is not None:
            self._listener.say(f"{self._output} is up to date: made of the same input, with the same settings")
            return report
        with claimed(self._output, job.hash) as (work, goes_on):
            if goes_on:
                self._listener.say("going on where the last start was interrupted")
            if job.tokenizer is not None and not self._pipeline.needs_all:
                units = self._read(work, job, self._settings_of(job, None))
                kept = work.read
                duplicates = None
            else:
                units = self._read(work, job, None)
                duplicates = find(self._pipeline, work, units, self._engine, self._listener)
                kept = self._make_tokens(work, job, units, duplicates)
            report = make_report(self._pipeline, job, work, units, duplicates)
            self._listener.stage("putting the sets in place", None)
            place_sets(self._pipeline, job, work, kept, units, report)
            work.remove()
        return report
