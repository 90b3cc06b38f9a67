"""A task carried out: from its file, and from what an interrupted run has left, to a file of results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textmill.eval.evaluated_model import EvaluatedModel
from textmill.eval.results import ResultsFile
from textmill.eval.scorer import open_scorer
from textmill.eval.tasks.likelihood import score_items
from textmill.eval.tasks.prompts import Prompts
from textmill.eval.tasks.sandbox import Sandbox
from textmill.eval.tasks.task import Task
from textmill.eval.tasks.written import write_items


def results_header(model: EvaluatedModel, task: Task) -> dict[str, Any]:
    """What the first line of a task's results says."""
    return {
        "kind": "task",
        "task": task.settings.name,
        "of": task.settings.kind,
        "shots": task.settings.shots,
        "items": len(task.items),
        "task_sha256": task.sha256,
        **model.header,
    }


def run_task(
    model: EvaluatedModel,
    task: Task,
    path: Path,
    results: ResultsFile,
    *,
    run_unprotected: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[str]:
    """Score the items that the results lack, in order.

    Args:
        path: the task's file, for messages.
        run_unprotected: run programs (kind ``code``) where the system cannot lock them in.
        progress: called with the number of items done, those that were there included.

    Returns:
        the protections that programs were run without; empty for other kinds.

    Raises:
        DataError: an item that does not fit, with its line and file.
        ConfigError: programs cannot be locked in.
    """
    settings = task.settings
    prompts = Prompts(model.lm, task, path)
    done = len(results.records)
    items = task.items[done:]
    missing: list[str] = []
    sandbox = Sandbox(settings.timeout_s, settings.memory_mb << 20, run_unprotected)
    if settings.kind == "code" and items:
        missing = sandbox.check()
    if settings.kind in ("choice", "cloze"):
        with open_scorer(model.lm) as scorer:
            for records in score_items(items, prompts, scorer):
                results.add(records)
                _tell(progress, results)
    else:
        for records in write_items(items, prompts, model.lm, settings, first=done, sandbox=sandbox):
            results.add(records)
            _tell(progress, results)
    return missing


def _tell(progress: Callable[[int], None] | None, results: ResultsFile) -> None:
    if progress is not None:
        progress(len(results.records))
