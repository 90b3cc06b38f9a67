"""``textmill runs compare``: runs beside each other."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from textmill.base import units
from textmill.base.errors import ConfigError
from textmill.cli.output import Output, for_terminal
from textmill.cli.runs_show import has_colour
from textmill.cli.table import Column, draw_table

if TYPE_CHECKING:
    from textmill.train.run_compare import Comparison
    from textmill.train.run_record import RunRecord

_CHART_LINES = 12
_MOST = 20


def compare(
    *runs: str,
    html: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Compare runs: what they were told differently, what they scored, and their curves in one chart.

    For example:
        textmill runs compare tiny wide
        textmill runs compare tiny wide deep --html compare.html
        textmill runs compare tiny wide --json

    Equal steps are the last step that all runs reached, equal tokens the tokens that all of them saw; the figures there
    are those of the last evaluation before. Only what differs of recipes and plans is shown.

    Parameters
    ----------
    runs
        Two or more: folders, or names in runs/.
    html
        Write one page with the curves over steps, tokens, time and FLOPs to this file.
    json
        Print everything as JSON.
    """
    from textmill.train.run_compare import compare_runs
    from textmill.train.run_record import find_run, read_run

    if not 2 <= len(runs) <= _MOST:
        raise ConfigError(f"compare takes 2 to {_MOST} runs, and {len(runs)} are given; textmill runs ls lists them")
    out = Output()
    records = [read_run(find_run(name)) for name in runs]
    comparison = compare_runs(records)
    if html is not None:
        from textmill.train.compare_page import write_comparison

        out.say(f"the page is in {write_comparison(html, records)}")
    if json:
        out.json(as_table(comparison))
        return 0
    for line in _lines(comparison, records, out.data_width):
        out.styled(line) if isinstance(line, Text) else out.data(line)
    return 0


def as_table(comparison: Comparison) -> dict[str, Any]:
    """A comparison as JSON can hold it."""
    from textmill.base.config import to_table

    return to_table(comparison)


def _lines(comparison: Comparison, records: Sequence[RunRecord], width: int) -> Iterator[str | Text]:
    letters = [chr(ord("a") + number) for number in range(len(records))]
    legend = Text()
    from textmill.cli.terminal_chart import STYLES

    for number, (letter, name) in enumerate(zip(letters, comparison.names, strict=True)):
        steps = units.count(records[number].history.step)
        tokens = units.count(records[number].history.last("tokens") or 0)
        legend.append(f"{letter}  ", style=STYLES[number % len(STYLES)])
        legend.append(f"{for_terminal(name)}: {steps} steps, {tokens} tokens\n")
    yield legend
    yield "what differs"
    yield from _difference_lines(comparison, letters, width)
    for source, beside in comparison.scores.items():
        yield f"\nbits per byte: {for_terminal(source)}"
        columns = (
            Column("run", is_text=True, least=8),
            Column("last"),
            Column("best"),
            Column("at step", rank=1),
            Column(f"at {units.count(comparison.equal_tokens)} tokens"),
            Column(f"at step {comparison.equal_step:,}", rank=2),
        )
        rows = [
            [
                for_terminal(one.run),
                f"{one.score.last:.3f}",
                f"{one.score.best:.3f}",
                f"{one.score.best_step:,}",
                _figure(one.at_tokens),
                _figure(one.at_step),
            ]
            for one in beside
        ]
        yield from draw_table(columns, rows, width)
    yield from _chart(records, letters, width)


def _difference_lines(comparison: Comparison, letters: Sequence[str], width: int) -> Iterator[str]:
    if not comparison.differences:
        yield "  nothing: recipes and plans are the same"
        return
    columns = [Column("key", is_text=True, least=16), *(Column(letter, is_text=True, least=6) for letter in letters)]
    rows = [
        [for_terminal(one.key.removeprefix("recipe.")), *(for_terminal(_written(value)) for value in one.values)]
        for one in comparison.differences
    ]
    yield from draw_table(columns, rows, width)


def _written(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json_module.dumps(value, ensure_ascii=False)


def _chart(records: Sequence[RunRecord], letters: Sequence[str], width: int) -> Iterator[str | Text]:
    import numpy as np

    from textmill.cli.terminal_chart import Curve, draw_chart

    # Held-out text where every run has it: training text is not the same text everywhere.
    everywhere = all(record.history.held_out().get("all") for record in records)
    curves = []
    for letter, record in zip(letters, records, strict=True):
        history = record.history
        steps, tokens = history.steps, history.axis("tokens")
        if everywhere:
            points = np.array(history.held_out()["all"], float)
            xs = np.interp(points[:, 0], steps, tokens) if len(steps) else points[:, 0]
            curves.append(Curve(letter, xs, points[:, 1]))
        else:
            curves.append(Curve(letter, tokens, history.figures("bits_per_byte")))
    most = max((float(curve.xs[-1]) for curve in curves if len(curve.xs)), default=0.0)
    lines = draw_chart(
        curves, min(width, 100), _CHART_LINES, ("", f"{units.count(most)} tokens"), letters=not has_colour()
    )
    if lines:
        yield f"\nbits per byte, {'held-out' if everywhere else 'training'} text"
        yield from lines


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
