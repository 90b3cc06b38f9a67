"""A pipeline carried out, stage after stage: read, compare, train a tokenizer, make tokens, put the sets in place.

What each stage has done lies in a folder of work (``work_folder``), a unit at a time, and its content depends on
settings and input alone. So the output is the same bytes for any engine and number of processes, and a second start
after any interruption goes on where the first one was.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.files import write_file
from textmill.data.contamination import write_contamination
from textmill.data.default_engine import default_engine
from textmill.data.duplicates import find_duplicates_of
from textmill.data.engines.engine import Engine
from textmill.data.job import Each, Job, check_named, make_job
from textmill.data.kept_corpus import KeptCorpus
from textmill.data.pipeline import Pipeline
from textmill.data.place_sets import place_sets
from textmill.data.prepare_listener import PrepareListener, Silence
from textmill.data.prepare_report import REPORT, PrepareReport, read_report
from textmill.data.read_stage import Units, read_sources
from textmill.data.source_checks import check_kept, check_texts, late_changes, read_reports
from textmill.data.text_steps import rules_off
from textmill.data.token_choices import (
    holdout_kinds,
    pipeline_tokenizer,
    put_tokenizer,
    shortage_of_tokens,
    token_settings,
)
from textmill.data.token_stage import make_tokens
from textmill.data.unit_report import CONTAMINATION, UnitReport
from textmill.data.work_folder import WorkFolder, claimed
from textmill.tokenizer.end_of_text import end_of_text
from textmill.tokenizer.tokenizer import Tokenizer

TOKENIZER = "tokenizer.json"


def prepare(pipeline: Pipeline, engine: Engine | None = None, listener: PrepareListener | None = None) -> PrepareReport:
    """Carry out a pipeline: raw files become a shard set for each source, below ``output.dir``.

    Args:
        pipeline: what is to be done.
        engine: where; None is this machine: this process with all its threads where every step is native, else a
            process for each core (``default_engine``).
        listener: told of every stage.

    Returns:
        what became of the documents; also as report.json in the output folder.

    Raises:
        ConfigError: the pipeline cannot be carried out as it is, or another process is at it.
        DataError: a source has no text, a bad record is met and the pipeline says ``on_bad = "stop"``, or a file
            changed while it was read.
        StorageError: the disk is full. What was done stays, and a second start goes on.
    """
    listener = listener or Silence()
    listener.stage("looking at the input", None)
    job = make_job(pipeline, _told(listener))
    report = read_report(pipeline, job.hash)
    if report is not None:
        listener.say(f"{pipeline.output.dir} is up to date: made from the same input with the same settings")
        return report
    if engine is not None:
        return _prepare(job, engine, listener)
    with contextlib.closing(default_engine(job)) as engine_here:
        return _prepare(job, engine_here, listener)


def _told(listener: PrepareListener) -> Each:
    """Make a map that tells how far it is: lines of large files are counted with it, which reads them once."""

    def each(count: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
        parts = list(parts)
        done = 0
        if parts:
            listener.stage("counting lines", sum(end - begin for _, begin, end in parts))
            listener.progress(0)
        for part in parts:
            num_lines = count(part)
            done += part[2] - part[1]
            listener.progress(done)
            yield num_lines

    return each


def _prepare(job: Job, engine: Engine, listener: PrepareListener) -> PrepareReport:
    pipeline = job.pipeline
    output = Path(pipeline.output.dir)
    with claimed(output, job.hash) as (work, goes_on):
        if goes_on:
            listener.say("going on where the last start was interrupted")
        off = tuple(rules_off(pipeline))
        for rule in off:
            listener.say(rule)
        job.left_out.warn(stacklevel=3)
        made = _make(job, work, engine, listener)
        for change in late_changes(job):
            listener.say(change)
        listener.stage("putting the sets in place", None)
        totals = place_sets(job, made.tokens, made.units, made.tokenizer, end_of_text(made.tokenizer))
        report = PrepareReport(
            folder=output,
            job=job.hash,
            sources=made.reports,
            totals=totals,
            duplicates=made.duplicates,
            rules_off=off,
        )
        for file in work.path.glob("tokenizer*.json"):
            write_file(output / file.name, file.read_bytes())
        write_contamination(output / CONTAMINATION, work, made.units)
        write_file(output / REPORT, json.dumps(report.to_table(), indent=2, ensure_ascii=False))
        work.remove()
    return report


@dataclass(frozen=True, slots=True)
class _Made:
    """Units of tokens, and how they came about."""

    tokens: Path
    units: Units
    reports: dict[str, UnitReport]
    tokenizer: Tokenizer
    duplicates: dict[str, Any]


def _make(job: Job, work: WorkFolder, engine: Engine, listener: PrepareListener) -> _Made:
    """Go through the stages up to units of tokens."""
    make = _make_after_all if job.pipeline.needs_all else _make_at_once
    return make(job, work, engine, listener)


def _make_at_once(job: Job, work: WorkFolder, engine: Engine, listener: PrepareListener) -> _Made:
    """Read documents and make tokens of them in one go: none has to wait for others."""
    pipeline, path = job.pipeline, work.path / TOKENIZER
    tokenizer = pipeline_tokenizer(pipeline, iter(()))
    check_named(job.named)
    put_tokenizer(pipeline, tokenizer, path)
    listener.tokenizer(tokenizer)
    settings = token_settings(pipeline, tokenizer, path, holdout_kinds(pipeline, None))
    units = read_sources(job, work, engine, listener, settings)
    reports = read_reports(work, units)
    check_texts(job, reports)
    return _Made(work.read, units, reports, tokenizer, {})


def _make_after_all(job: Job, work: WorkFolder, engine: Engine, listener: PrepareListener) -> _Made:
    """Read all documents, look at them together, and make tokens of those that stay."""
    pipeline, path = job.pipeline, work.path / TOKENIZER
    units = read_sources(job, work, engine, listener, None)
    reports = read_reports(work, units)
    check_texts(job, reports)
    found = find_duplicates_of(job, work, units, engine, listener)
    check_kept(job, reports, found)
    corpus = KeptCorpus(pipeline, work.read, units, found)
    listener.kept(found.sources, corpus.sample())
    kinds = holdout_kinds(pipeline, corpus)
    if path.is_file():
        tokenizer = Tokenizer.load(path)
    else:
        num_bytes = sum(source.num_bytes for source in found.sources.values())
        listener.stage("training the tokenizer", num_bytes if pipeline.tokenizer.path is None else None)
        tokenizer = pipeline_tokenizer(pipeline, corpus.training_texts(kinds), listener.progress)
        check_named(job.named)
        put_tokenizer(pipeline, tokenizer, path)
    listener.tokenizer(tokenizer)
    for shortage in shortage_of_tokens(pipeline, tokenizer):
        listener.say(shortage)
    settings = token_settings(pipeline, tokenizer, path, kinds)
    make_tokens(work, units, found, settings, engine=engine, listener=listener)
    return _Made(work.tokens, units, reports, tokenizer, found.report)
