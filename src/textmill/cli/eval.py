"""``textmill eval``: how good a model is, on text and on tasks, and which of two is better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.cli.arguments import WholeNumber, program
from textmill.cli.eval_options import HarnessCommandOptions, ScoringOptions
from textmill.cli.eval_tables import bits_as_table, bits_lines, position_lines, task_as_table, task_lines
from textmill.cli.model_argument import find_model
from textmill.cli.output import Output

if TYPE_CHECKING:
    from textmill.eval.evaluated_model import EvaluatedModel
    from textmill.eval.harness_run import HarnessOptions
    from textmill.eval.tasks.summary import TaskScore
    from textmill.eval.text_bits import SourceBits

_Words = Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")]
_Flag = Annotated[bool, Parameter(negative="")]
_SCORING = ScoringOptions()
_HARNESS = HarnessCommandOptions()

eval_app = App(
    name="eval",
    help="""Measure a model: bits per byte of text, tasks, and other projects' tasks.

For example:
    textmill eval runs/tiny
    textmill eval runs/tiny --data notes.txt books=texts/books
    textmill eval smollm2-135m-instruct --data notes.txt --by position
    textmill eval smollm2-135m-instruct --tasks arc.jsonl gsm8k.jsonl --shots 5
    textmill eval compare evals/one evals/other
    textmill eval report runs/tiny
    textmill eval runs/tiny --harness arc_easy,piqa --chat
""",
    help_format="plaintext",
)
for _name, _place in {"compare": "eval_compare:compare", "report": "eval_report:report"}.items():
    eval_app.command(f"textmill.cli.{_place}", name=_name)


@eval_app.default
def evaluate(
    model: str,
    /,
    *,
    data: _Words = None,
    tasks: _Words = None,
    harness: _Words = None,
    by: Literal["source", "position"] = "source",
    stride: WholeNumber | None = None,
    shots: WholeNumber | None = None,
    limit: WholeNumber | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    restart: _Flag = False,
    run_unprotected: _Flag = False,
    json: _Flag = False,
    scoring: ScoringOptions = _SCORING,
    of_the_harness: HarnessCommandOptions = _HARNESS,
) -> int:
    """Measure a model.

    Results go to a file for each source and task, an item a line; what was interrupted goes on there. A run is measured
    on what it holds out unless there is something else to measure.

    Parameters
    ----------
    model
        A model folder, a .gguf file, a run (its last checkpoint), or a name from `textmill model get`.
    data
        Text to write down, in bits per byte: files, folders, globs or shard sets, each a source; NAME=PATH names it.
    tasks
        Task files: JSON lines with items of the kinds choice, cloze, generate and code (docs/reference/tasks.md).
    harness
        Tasks of lm-evaluation-harness, which has to be installed (pip install 'textmill[eval]').
    by
        position also tells bits per byte by the place in a document.
    stride
        Tokens that a window moves on by where a text is longer than the context; half the context unless given.
    shots
        Examples before each item, in place of the task's own number.
    limit
        Documents of each source, or items of each task, at most: the first.
    output
        The folder of results; evals/MODEL unless given.
    restart
        Measure again what is there already.
    run_unprotected
        Run programs that the model writes even where the system cannot lock them in.
    json
        Print all figures as JSON.
    """
    from textmill.eval.harness_run import HarnessOptions
    from textmill.eval.measure import EVALS

    for name, value in (("--limit", limit), ("--stride", stride)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}, and must be 1 or more")
    if of_the_harness != _HARNESS and not harness:
        raise ConfigError(
            "--include, --chat, --system, --fewshot-as-multiturn and --log-samples are for --harness; a task file says "
            '"chat" and "description" in its first line'
        )
    if of_the_harness.system is not None and not of_the_harness.chat:
        raise ConfigError("--system is what a system message says, which only chats have: give --chat, too")
    out = Output()
    path = find_model(model, out)
    if not (data or tasks or harness):
        data = _held_out(path)
    read = _read_tasks(tasks or (), shots=shots, limit=limit)
    opened = _open(out, path, scoring)
    folder = output or EVALS / opened.name
    told: dict[str, Any] = {"model": opened.header}
    if data:
        bits = _measure_data(out, opened, data, folder, stride=stride, limit=limit, restart=restart)
        told["bits"] = [bits_as_table(one) for one in bits]
        if not json:
            _print(out, bits_lines(bits, out.data_width))
            if by == "position":
                _print(out, position_lines(bits, out.data_width))
    if read:
        scores = _measure_tasks(out, opened, read, folder, restart=restart, run_unprotected=run_unprotected)
        told["tasks"] = [task_as_table(one) for one in scores]
        if not json:
            _print(out, task_lines(scores, out.data_width))
    if harness:
        options = HarnessOptions(shots=shots, limit=limit, **of_the_harness.given())
        told["harness"] = _run_harness(out, opened, path, harness, folder=folder, options=options, quiet=json)
    if json:
        out.json(told)
    if data or read:
        out.say(f"results are in {folder}")
        out.hint(f"next: {program()} eval report {model}, or eval compare {folder} OTHER")
    return 0


def _held_out(model: Path) -> list[str]:
    """Where a run's held-out text lies, which is what it is measured on unless it is told otherwise."""
    from textmill.eval.report.lineage import run_of
    from textmill.eval.shard_texts import held_out_sets

    run = run_of(model)
    found = [] if run is None else held_out_sets(run)
    if not found:
        has_none = "" if run is None else f", for {run} holds no text out"
        raise ConfigError(f"there is nothing to measure{has_none}: give --data FILES, --tasks FILES or --harness TASKS")
    return [str(one) for one in found]


def _open(out: Output, path: Path, scoring: ScoringOptions) -> EvaluatedModel:
    from textmill.eval.evaluated_model import fingerprint, name_of, open_evaluated

    name = name_of(path)
    with out.bar(f"hashing {name}", None) as bar:
        sha256 = fingerprint(path, progress=lambda done, total: bar.update(done, _of(done, total)))
    with out.waiting(f"loading {name}"):
        return open_evaluated(path, sha256=sha256, **scoring.given())


def _of(done: int, total: int) -> str:
    return f"{units.num_bytes(done)} of {units.num_bytes(total)}"


def _read_tasks(paths: Sequence[str], **settings: Any) -> list[tuple[Path, Any]]:
    """All of them before the model is loaded: an error in the last one is told at once."""
    from textmill.eval.tasks.task_file import read_task
    from textmill.text.folders import paths_of

    read: dict[str, tuple[Path, Any]] = {}
    for path in paths_of(list(paths)):
        task = read_task(path, **settings)
        if task.settings.name in read:
            raise ConfigError(
                f'{read[task.settings.name][0]} and {path} are both called "{task.settings.name}"; give one of them a '
                'name in its first line: {"task": {"name": "..."}}'
            )
        read[task.settings.name] = (path, task)
    return list(read.values())


def _measure_data(
    out: Output, model: EvaluatedModel, data: Sequence[str], folder: Path, *, restart: bool, **options: Any
) -> list[SourceBits]:
    from textmill.base.errors import DataError
    from textmill.eval.measure import measure_source, sum_sources
    from textmill.eval.sources import text_sources

    records = {}
    for source in text_sources(data):
        with out.bar(f"scoring {source.name}", source.num_bytes) as bar:

            def tell(documents: int, num_bytes: int, bar: Any = bar) -> None:
                bar.update(num_bytes, f"{documents:,} {units.plural(documents, 'document')}")

            records[source.name] = measure_source(model, source, folder, restart=restart, progress=tell, **options)
    if not any(records.values()):
        raise DataError("there is no text to score: every file is empty")
    return sum_sources(records)


def _measure_tasks(
    out: Output, model: EvaluatedModel, tasks: Sequence[tuple[Path, Any]], folder: Path, **options: bool
) -> list[TaskScore]:
    from textmill.eval.measure import measure_task

    scores = []
    for path, task in tasks:
        if task.shots and not task.settings.shots_from:
            count = len(task.shots)
            said = (
                f"first {count} items are the examples, and are" if count > 1 else "first item is the example, and is"
            )
            out.say(f"{task.settings.name}: its {said} not scored")
        with out.bar(f"{task.settings.name}", len(task.items)) as bar:

            def tell(done: int, bar: Any = bar, total: int = len(task.items)) -> None:
                bar.update(done, f"{done:,} of {total:,} items")

            score, missing = measure_task(model, task, path, folder, progress=tell, **options)
        if missing:
            out.warning(f"{score.name}: programs ran without {'; '.join(missing)}")
        if score.num_cut:
            out.warning(
                f"{score.name}: {score.num_cut:,} {units.plural(score.num_cut, 'answer')} ended at max_tokens "
                f"({task.settings.max_tokens:,}) or at the end of the context, before the model was done"
            )
        scores.append(score)
    return scores


def _run_harness(
    out: Output,
    model: EvaluatedModel,
    path: Path,
    tasks: Sequence[str],
    *,
    folder: Path,
    options: HarnessOptions,
    quiet: bool,
) -> dict[str, Any]:
    from textmill.eval.harness_run import run_harness

    names = [name for words in tasks for name in words.split(",") if name]
    out.say("starting lm-evaluation-harness, which takes some seconds")
    found = run_harness(model.lm, path, names, folder / "harness", options)
    if not quiet:
        out.data(found.table)
    out.say(f"the harness's results are in {', '.join(str(file) for file in found.files)}")
    return found.results


def _print(out: Output, lines: Sequence[str]) -> None:
    for line in lines:
        out.data(line)
