"""What ``textmill eval`` does: sources and tasks into a folder of results, whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from textmill.eval.evaluated_model import EvaluatedModel
from textmill.eval.results import BITS, ResultsFile
from textmill.eval.sources import TextSource
from textmill.eval.tasks.run import results_header, run_task
from textmill.eval.tasks.summary import TaskScore, summarise_task
from textmill.eval.tasks.task import Task
from textmill.eval.text_bits import SourceBits, score_texts, summarise_bits

EVALS = Path("evals")


def measure_source(
    model: EvaluatedModel,
    source: TextSource,
    folder: Path,
    *,
    stride: int | None = None,
    limit: int | None = None,
    restart: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Score a source's documents, at most ``limit`` of them, into ``folder/bits/NAME.jsonl``; returns the records.

    Raises:
        ConfigError: the file holds results of something else.
        DataError: a text that cannot be read.
    """
    header = {"kind": BITS, "source": source.name, "stride": stride, **model.header}
    results = ResultsFile(folder / BITS / f"{source.name}.jsonl", header, restart=restart)
    try:
        documents = islice(source.documents(model.lm.tokenizer), limit)
        score_texts(model, documents, results, stride=stride, progress=progress)
        results.end()
    finally:
        results.close()
    return results.records


def sum_sources(records: dict[str, list[dict[str, Any]]]) -> list[SourceBits]:
    """Figures of each source, and of ``all`` where there are several."""
    named = dict(records)
    if len(named) > 1:
        named["all"] = [record for some in records.values() for record in some]
    return [found for name, some in named.items() if (found := summarise_bits(name, some)) is not None]


def measure_task(
    model: EvaluatedModel,
    task: Task,
    path: Path,
    folder: Path,
    *,
    restart: bool = False,
    run_unprotected: bool = False,
    progress: Callable[[int], None] | None = None,
) -> tuple[TaskScore, list[str]]:
    """Score a task's items into ``folder/NAME.jsonl``; its figures, and the protections that programs ran without."""
    header = results_header(model, task)
    results = ResultsFile(folder / f"{task.settings.name}.jsonl", header, restart=restart)
    try:
        missing = run_task(model, task, path, results, run_unprotected=run_unprotected, progress=progress)
    finally:
        results.close()
    return summarise_task(header, results.records), missing
