"""``textmill runs show``: one run, from its log."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Iterator
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from textmill.base import units
from textmill.cli.arguments import program
from textmill.cli.output import Output, for_terminal
from textmill.cli.runs_ls import ago
from textmill.cli.table import Column, draw_table

if TYPE_CHECKING:
    from textmill.train.run_facts import RunFacts
    from textmill.train.run_history import History
    from textmill.train.run_record import RunRecord

_NAME_WIDTH = 14
_CHART_LINES = 10
_SHOWN = 5
_INTERVAL = Column("95 %", rank=3)
_SCORES = (
    Column("source", is_text=True, least=10),
    Column("last"),
    _INTERVAL,
    Column("at step", rank=2),
    Column("best"),
    Column("at step", rank=1),
)
_OF_TUNING = (Column("score", is_text=True, least=10), Column("last"), Column("at step", rank=1))


def show(
    run: str,
    /,
    *,
    report: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Show a run: what it is, its curve, evaluations, checkpoints, spikes and samples.

    For example:
        textmill runs show tiny
        textmill runs show runs/tiny --report    draws report.html anew
        textmill runs show tiny --json

    Parameters
    ----------
    run
        A run's folder, or its name in runs/; the beginning of a name will do where only one begins so.
    report
        Draw the run's report.html from its log as it stands, also while the run goes on.
    json
        Print everything as JSON.
    """
    from textmill.train.run_facts import describe_run
    from textmill.train.run_record import find_run, read_run

    out = Output()
    record = read_run(find_run(run))
    now_s = time.time()
    facts = describe_run(record, now_s)
    if report:
        from textmill.train.report import write_report

        out.say(f"the report is in {write_report(record.folder)}")
    if json:
        scored = {"held_out": record.history.held_out_items()}
        out.json(as_table(facts, next_command(record, facts)) | (scored if scored["held_out"] else {}))
        return 0
    for line in _lines(facts, record.history, now_s, out.data_width):
        out.styled(line) if isinstance(line, Text) else out.data(for_terminal(line))
    out.hint(f"next: {next_command(record, facts)}")
    return 0


def as_table(facts: RunFacts, following: str) -> dict[str, Any]:
    """A run's facts as JSON can hold them, and the command that follows."""
    from textmill.base.config import to_table

    table = to_table(facts)
    table["folder"] = str(facts.folder)
    table["checkpoints"] = [to_table(one) | {"folder": str(one.folder)} for one in facts.checkpoints]
    return table | {"next": following}


def next_command(run: RunRecord, facts: RunFacts) -> str:
    """What one would do with the run as it stands."""
    folder = quote(str(facts.folder))
    tune = run.table("recipe").get("tune")
    kind = tune.get("kind") if isinstance(tune, dict) else None
    if facts.state == "finished":
        return f"{program()} chat {folder}/model" if kind else f'{program()} generate {folder}/model "Once upon a time"'
    if facts.state == "running":
        return f"{program()} runs show {folder} --report"
    command = f"tune {quote(str(kind))}" if kind else "train"
    return f"{program()} {command} {folder} --resume"


def _lines(facts: RunFacts, history: History, now_s: float, width: int) -> Iterator[str | Text]:
    yield f"{facts.name}  ({facts.folder})"
    for line in (*(f"{name:<{_NAME_WIDTH}}{value}" for name, value in _facts(facts, now_s)), *_stage_lines(facts)):
        yield from _wrapped(line, width, _NAME_WIDTH)
    chart = _chart(history, width)
    if chart:
        yield ""
        yield from chart
    if facts.scores:
        yield "\nbits per byte"
        rows = [
            [
                for_terminal(s.source),
                f"{s.last:.3f}",
                "" if s.interval is None else f"{s.interval[0]:.3f} to {s.interval[1]:.3f}",
                f"{s.last_step:,}",
                f"{s.best:.3f}",
                f"{s.best_step:,}",
            ]
            for s in facts.scores
        ]
        kept = [n for n, one in enumerate(_SCORES) if one is not _INTERVAL or any(s.interval for s in facts.scores)]
        yield from draw_table([_SCORES[n] for n in kept], [[row[n] for n in kept] for row in rows], width)
    scores = [
        [for_terminal(name.replace("_", " ")), f"{points[-1][1]:.3f}", f"{points[-1][0]:,}"]
        for name, points in history.held_out_items().items()
    ]
    if scores:
        yield "\nheld out of tuning"
        yield from draw_table(_OF_TUNING, scores, width)
    yield from _checkpoint_lines(facts)
    for line in _incident_lines(facts):
        yield from _wrapped(line, width, 4)
    yield from _sample_lines(facts)


def _wrapped(line: str, width: int, indent: int) -> list[str]:
    return [line] if len(line) <= width else textwrap.wrap(line, width, subsequent_indent=" " * indent)


def _facts(facts: RunFacts, now_s: float) -> Iterator[tuple[str, str]]:
    planned = f" of {facts.num_steps:,}" if facts.num_steps else ""
    when = "" if facts.last_time_s is None else f", {ago(now_s - facts.last_time_s)}"
    yield "state", f"{facts.state} at step {facts.step:,}{planned}{when}"
    if facts.num_parameters is not None:
        yield "model", f"{units.count(facts.num_parameters)} parameters"
    if facts.branch is not None:
        yield "branch", f"from step {facts.branch.get('step')} of {facts.branch.get('run')}"
    if facts.tokens is not None:
        each = f", {units.count(facts.tokens_per_step)} a step" if facts.tokens_per_step else ""
        yield "tokens", f"{units.count(facts.tokens)}{each}"
    if facts.loss is not None:
        yield "loss", f"{facts.loss:.3f} nats/token, mean of the last 20 steps"
    if facts.tokens_per_s is not None:
        mfu = "" if facts.mfu is None else f", MFU {100 * facts.mfu:.1f} %"
        precision = f" in {facts.precision}" if facts.precision else ""
        yield "speed", f"{units.count(facts.tokens_per_s)} tokens/s{precision}{mfu}"
    if facts.memory_bytes is not None:
        yield "memory", f"{units.num_bytes(facts.memory_bytes)} at most"
    if facts.steps_s:
        resumes = f", resumed {facts.num_resumes} times" if facts.num_resumes > 1 else ", resumed once"
        yield "time", f"{units.seconds(facts.steps_s)} of steps{resumes if facts.num_resumes else ''}"


def _stage_lines(facts: RunFacts) -> Iterator[str]:
    for number, stage in enumerate(facts.stages):
        context = f", context {stage.context:,}" if stage.context else ""
        theta = f", RoPE base {stage.rope_theta:,.0f}" if stage.rope_theta else ""
        total = sum(stage.mixture.values()) or 1.0
        mixture = ", ".join(f"{100 * weight / total:.3g} % {name}" for name, weight in stage.mixture.items())
        yield (
            f"{'stages' if number == 0 else '':<{_NAME_WIDTH}}{stage.name}: steps {stage.first_step + 1:,} to "
            f"{stage.last_step:,}{context}{theta}{'; ' + mixture if mixture else ''}"
        )


def _chart(history: History, width: int) -> list[Text]:
    import numpy as np

    from textmill.cli.terminal_chart import STYLES, Curve, draw_chart

    steps = history.steps
    curves = [Curve("t", steps.astype(float), history.figures("bits_per_byte"))]
    held_out = history.held_out().get("all", [])
    if held_out:
        curves.append(Curve("h", *(np.array(column, float) for column in zip(*held_out, strict=True))))
    first, last = (f"step {steps[0]:,}", f"{steps[-1]:,}") if len(steps) else ("", "")
    lines = draw_chart(curves, min(width, 100), _CHART_LINES, (first, last), letters=not has_colour())
    if not lines:
        return []
    legend = Text("bits per byte: ")
    for number, (curve, name) in enumerate(zip(curves, ("training", "held out"), strict=False)):
        legend.append(f"{curve.letter} {name}  ", style=STYLES[number])
    return [legend, *lines]


def has_colour() -> bool:
    """Whether curves can be told apart by their colours."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _checkpoint_lines(facts: RunFacts) -> Iterator[str]:
    if not facts.checkpoints:
        return
    total = sum(one.num_bytes for one in facts.checkpoints)
    yield f"\ncheckpoints   {len(facts.checkpoints)} on the disk, {units.num_bytes(total)}"
    if len(facts.checkpoints) > _SHOWN:
        yield f"  {len(facts.checkpoints) - _SHOWN} before"
    yield from (f"  step {one.step:<12,}{units.num_bytes(one.num_bytes)}" for one in facts.checkpoints[-_SHOWN:])


def _incident_lines(facts: RunFacts) -> Iterator[str]:
    from textmill.train.run_facts import documents_of, told

    if not facts.incidents:
        return
    yield ""
    yield f"what went wrong   {len(facts.incidents)} {units.plural(len(facts.incidents), 'time')}"
    for incident in facts.incidents[-_SHOWN:]:
        yield f"  {told(incident)}"
        documents = documents_of(incident)
        if documents:
            more = f" and {len(documents) - 3} more" if len(documents) > 3 else ""
            yield f"    documents: {', '.join(documents[:3])}{more}"


def _sample_lines(facts: RunFacts) -> Iterator[str]:
    if not facts.samples:
        return
    sample = facts.samples[-1]
    yield f"\nwhat it writes   at step {sample.step:,}"
    text = f"{sample.fields.get('prompt', '')}{sample.fields.get('text', '')}"
    yield from (f"  │ {line}" for line in text.splitlines()[:12])
