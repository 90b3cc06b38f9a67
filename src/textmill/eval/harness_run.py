"""lm-evaluation-harness on a model that is loaded: its tasks, its figures, its table, its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.errors import ConfigError, DataError, StorageError, TextmillError, did_you_mean, require_extra
from textmill.infer.engine import LanguageModel


@dataclass(frozen=True, slots=True)
class HarnessResults:
    """What the harness found.

    Attributes:
        results: by task, its metrics by the harness's names.
        table: the same for people, in Markdown.
        files: what was written: ``results_DATE.json``, and ``samples_TASK_DATE.jsonl`` where samples were to be kept.
    """

    results: dict[str, Any]
    table: str
    files: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class HarnessOptions:
    """What a run of the harness is told.

    Attributes:
        include: a folder with more tasks.
        shots: examples before each item, in place of the tasks' own number.
        limit: items of each task, the first.
        chat: lay texts out by the model's chat template.
        system: what its system message says.
        fewshot_as_multiturn: examples are turns before, and not part of one message.
        log_samples: keep what the model was asked and said.
    """

    include: Path | None = None
    shots: int | None = None
    limit: int | None = None
    chat: bool = False
    system: str | None = None
    fewshot_as_multiturn: bool = True
    log_samples: bool = False


def run_harness(
    lm: LanguageModel, model: Path, tasks: Sequence[str], folder: Path, options: HarnessOptions
) -> HarnessResults:
    """Run tasks through ``simple_evaluate``, and keep what it finds as the harness's own ``--output_path`` does.

    Args:
        lm: the loaded model.
        model: where it comes from, which names the folder below ``folder``.
        tasks: names or patterns that the harness knows, or paths of task files (YAML).
        folder: of results.
        options: how.

    Raises:
        MissingExtraError: the harness is not installed.
        ConfigError: there is no such task.
        DataError: a task cannot be read, or its data set cannot be had.
        StorageError: results cannot be kept.
    """
    lm_eval = require_extra("lm_eval", "eval", "running tasks of lm-evaluation-harness")
    from lm_eval.loggers import EvaluationTracker  # pyrefly: ignore
    from lm_eval.loggers.utils import add_env_info  # pyrefly: ignore
    from lm_eval.utils import make_table  # pyrefly: ignore

    from textmill.eval.harness import TextmillLM

    manager = _task_manager(tasks, options.include)
    tracker = EvaluationTracker(output_path=str(folder))
    try:
        found = lm_eval.simple_evaluate(
            model=TextmillLM(lm, source=model),
            model_args={"pretrained": str(model)},
            tasks=list(tasks),
            num_fewshot=options.shots,
            limit=options.limit,
            task_manager=manager,
            log_samples=options.log_samples,
            evaluation_tracker=tracker,
            apply_chat_template=options.chat,
            system_instruction=options.system,
            fewshot_as_multiturn=options.chat and options.fewshot_as_multiturn,
        )
    except TextmillError:
        raise
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise DataError(
            f"the harness ended with {type(error).__name__}: {error}. Where it could not fetch a data set, write a "
            "task of your own with dataset_path: json, and name its folder with --include"
        ) from error
    assert found is not None, "one process has the results"
    add_env_info(found)
    table = make_table(found)
    return HarnessResults(
        found["results"], table + (make_table(found, "groups") if found.get("groups") else ""), _keep(tracker, found)
    )


def _task_manager(tasks: Sequence[str], include: Path | None) -> Any:
    from lm_eval.tasks import TaskManager  # pyrefly: ignore

    manager = TaskManager(include_path=str(include), include_defaults=False) if include is not None else None
    if manager is None or not all(manager.match_tasks([task]) for task in tasks):  # reading its own takes seconds
        manager = TaskManager(include_path=None if include is None else str(include))
    for task in tasks:
        if not Path(task).is_file() and not manager.match_tasks([task]):
            known = [name for name in manager.all_tasks if isinstance(name, str)]
            raise ConfigError(
                f'the harness has no task "{task}"{did_you_mean(task, known)} lm-eval ls tasks lists them'
            )
    return manager


def _keep(tracker: Any, found: dict[str, Any]) -> tuple[Path, ...]:
    """Write the files that the harness's own command writes; it only logs where it cannot."""
    samples = found.pop("samples", None)
    tracker.save_results_aggregated(results=found, samples=samples)
    for task in found["configs"] if samples else ():
        tracker.save_results_samples(task_name=task, samples=samples[task])
    folder = Path(tracker.output_path) / tracker.general_config_tracker.model_name_sanitized
    date = getattr(tracker, "date_id", "")  # set as it begins to write
    names = [f"results_{date}.json", *(f"samples_{task}_{date}.jsonl" for task in (samples or ()))]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise StorageError(f"cannot write {folder / missing[0]}: is there room, and may you write there?")
    return tuple(folder / name for name in names)
