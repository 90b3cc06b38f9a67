"""lm-evaluation-harness on a model that is loaded: its tasks, its figures, its table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import ConfigError, DataError, TextmillError, did_you_mean, require_extra
from textmill.infer.engine import LanguageModel


@dataclass(frozen=True, slots=True)
class HarnessResults:
    """What the harness found.

    Attributes:
        results: by task, its metrics by the harness's names.
        table: the same for people, in Markdown.
    """

    results: dict[str, Any]
    table: str


def run_harness(
    lm: LanguageModel,
    tasks: Sequence[str],
    *,
    include: Path | None = None,
    shots: int | None = None,
    limit: int | None = None,
) -> HarnessResults:
    """Run tasks through ``simple_evaluate``.

    Args:
        tasks: names or patterns that the harness knows, or paths of task files (YAML).
        include: a folder with more of them.
        shots: examples before each item, in place of the tasks' own number.
        limit: items of each task, the first.

    Raises:
        MissingExtraError: the harness is not installed.
        ConfigError: there is no such task.
        DataError: a task cannot be read, or its data set cannot be had.
    """
    lm_eval = require_extra("lm_eval", "eval", "running tasks of lm-evaluation-harness")
    from lm_eval.tasks import TaskManager  # pyrefly: ignore
    from lm_eval.utils import make_table  # pyrefly: ignore

    from textmill.eval.harness import TextmillLM

    manager = TaskManager(include_path=str(include), include_defaults=False) if include is not None else None
    if manager is None or not all(manager.match_tasks([task]) for task in tasks):  # reading its own takes seconds
        manager = TaskManager(include_path=None if include is None else str(include))
    for task in tasks:
        if not Path(task).is_file() and not manager.match_tasks([task]):
            known = [name for name in manager.all_tasks if isinstance(name, str)]
            raise ConfigError(
                f'the harness has no task "{task}"{did_you_mean(task, known)} lm-eval ls tasks lists them'
            )
    try:
        found = lm_eval.simple_evaluate(
            model=TextmillLM(lm),
            tasks=list(tasks),
            num_fewshot=shots,
            limit=limit,
            task_manager=manager,
            log_samples=False,
        )
    except TextmillError:
        raise
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise DataError(
            f"the harness ended with {type(error).__name__}: {error}. Where it could not fetch a data set, write a "
            "task of your own with dataset_path: json, and name its folder with --include"
        ) from error
    assert found is not None, "one process has the results"
    table = make_table(found)
    return HarnessResults(found["results"], table + (make_table(found, "groups") if found.get("groups") else ""))
