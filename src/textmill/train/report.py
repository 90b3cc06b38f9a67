"""``report.html``: a run on one page, drawn from its log and configuration alone, no script and no network."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from pathlib import Path

from textmill.base import units
from textmill.base.files import write_file
from textmill.train import report_tables
from textmill.train.page import facts, page
from textmill.train.report_curves import curves
from textmill.train.run_facts import highest, middle, recent
from textmill.train.run_record import RunRecord, read_run

REPORT = "report.html"
_STATES = {"preparing": "not begun", "running": "not ended", "stopped": "stopped", "finished": "finished"}


def write_report(folder: Path) -> Path:
    """Draw a run's report from what its folder holds; returns the page's path.

    Raises:
        DataError: the folder holds no run.
        StorageError: the disk is full.
    """
    path = folder / REPORT
    write_file(path, draw_report(read_run(folder)))
    return path


def draw_report(run: RunRecord) -> str:
    """A run's report as HTML: the same bytes for the same log."""
    history = run.history
    sections = [
        facts(list(_facts(run))),
        report_tables.validation(history),
        curves(history),
        report_tables.evaluations(history),
        report_tables.stages(history),
        report_tables.incidents(history),
        report_tables.samples(history),
        report_tables.checkpoints(history),
        _configuration(run),
    ]
    return page(f"{run.name} · textmill run", sections)


def _facts(run: RunRecord) -> Iterator[tuple[str, str]]:
    history = run.history
    planned = f" of {run.num_steps:,}" if run.num_steps else ""
    yield "state", _STATES[history.state]
    yield "steps", f"{history.step:,}{planned}"
    branch = run.known("branch")
    if isinstance(branch, dict):
        yield "branch", f"from step {branch.get('step')} of {branch.get('run')}"
    if run.num_parameters:
        yield "parameters", units.count(run.num_parameters)
    tokens, loss = history.last("tokens"), recent(history.figures("loss"))
    if tokens is not None:
        yield "tokens seen", units.count(tokens)
    if loss is not None:
        yield "loss, last 20 steps", f"{loss:.3f} nats/token"
    held_out = history.held_out().get("all")
    if held_out:
        yield "held out, bits per byte", f"{held_out[-1][1]:.3f}"
    rate, mfu = middle(history.figures("tokens_per_s")), middle(history.figures("mfu"))
    if rate is not None:
        yield "median speed", f"{units.count(rate)} tokens/s"
    if mfu is not None:
        yield "median MFU", f"{100 * mfu:.1f} %"
    memory = highest(history.figures("memory_bytes"))
    if memory is not None:
        yield "memory, at most", units.num_bytes(memory)
    steps_s = history.axis("time")
    if len(steps_s):
        yield "time of steps", units.seconds(float(steps_s[-1]))
    if history.num_resumes:
        yield "resumed", f"{history.num_resumes} times" if history.num_resumes > 1 else "once"
    if run.known("precision"):
        yield "precision", str(run.known("precision"))
    if run.known("context"):
        yield "context", f"{run.known('context')} tokens"


def _configuration(run: RunRecord) -> str:
    return (
        "<h2>Configuration</h2><details><summary>the recipe, the plan and the environment</summary>"
        f"<pre>{html.escape(json.dumps(run.config, indent=2))}</pre></details>"
    )
