"""``textmill runs ls``: a line a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from textmill.base import units
from textmill.base.errors import DataError
from textmill.cli.arguments import program
from textmill.cli.output import Output, for_terminal
from textmill.cli.table import Column, draw_table

if TYPE_CHECKING:
    from textmill.train.run_list import RunLine

_COLUMNS = (
    Column("run", is_text=True, least=12),
    Column("state", is_text=True),
    Column("step"),
    Column("bits/byte"),
    Column("loss", rank=2),
    Column("tokens", rank=3),
    Column("tokens/s", rank=4),
    Column("params", rank=5),
    Column("last", is_text=True, rank=1),
)


def ls(folder: Path = Path("runs"), /, *, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """List the runs of a folder, the latest first.

    For example:
        textmill runs ls
        textmill runs ls /data/runs --json

    Bits per byte are those of all held-out text when it was last evaluated, the loss is that of the last step. A run
    has failed where its log ends without a word.

    Parameters
    ----------
    folder
        Where runs lie.
    json
        Print everything as JSON.
    """
    from textmill.train.run_list import summarise_runs

    out = Output()
    if not folder.is_dir() and folder != Path("runs"):
        raise DataError(f"{folder} is no folder; give the one that runs lie in")
    now_s = time.time()
    lines = summarise_runs(folder, now_s)
    if json:
        out.json({"runs": [as_table(line) for line in lines]})
        return 0
    if not lines:
        out.say(f"{folder} holds no runs")
        out.hint(f"next: {program()} train tiny")
        return 0
    for text in draw_table(_COLUMNS, [row(line, now_s) for line in lines], out.data_width):
        out.data(for_terminal(text))
    return 0


def as_table(line: RunLine) -> dict[str, Any]:
    """A run's line as JSON can hold it."""
    from textmill.base.config import to_table

    return to_table(line) | {"folder": str(line.folder)}


def row(line: RunLine, now_s: float) -> list[str]:
    """A run's line as cells of the table."""
    planned = f" of {line.num_steps:,}" if line.num_steps and line.state != "finished" else ""
    return [
        for_terminal(line.name),
        line.state,
        f"{line.step:,}{planned}",
        _figure(line.bits_per_byte),
        _figure(line.loss),
        _count(line.tokens),
        _count(line.tokens_per_s),
        _count(line.num_parameters),
        ago(now_s - line.last_time_s),
    ]


def ago(age_s: float) -> str:
    """Write how long something is past, in one unit."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "m")):
        if age_s >= size:
            return f"{int(age_s // size)}{unit} ago"
    return f"{max(0, int(age_s))}s ago"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _count(value: float | None) -> str:
    return "" if value is None else units.count(value)
