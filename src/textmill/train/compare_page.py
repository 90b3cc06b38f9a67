"""Several runs on one page: their curves in the same charts, over steps, tokens, time and FLOPs."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from textmill.base import units
from textmill.base.files import write_file
from textmill.train.chart import Axes, Series, draw_chart
from textmill.train.page import SCALES, figure, page, switched, table
from textmill.train.report_curves import smoothed, time_unit
from textmill.train.run_compare import Comparison, compare_runs
from textmill.train.run_history import AXES, History
from textmill.train.run_record import RunRecord

# Title, column of the log, y axis, and whether it is worth a logarithm.
_FIGURES = (
    ("Loss", "loss", "nats/token", True),
    ("Bits per byte of the training text", "bits_per_byte", "bits per byte", True),
    ("Gradient norm", "grad_norm", "norm before clipping", False),
    ("Learning rate", "lr", "learning rate", False),
    ("Speed", "tokens_per_s", "tokens/s", False),
)


def write_comparison(path: Path, runs: Sequence[RunRecord]) -> Path:
    """Write the page that compares runs; returns its path.

    Raises:
        StorageError: it cannot be written.
    """
    write_file(path, draw_comparison(runs))
    return path


def draw_comparison(runs: Sequence[RunRecord]) -> str:
    """The page that compares runs, as HTML."""
    comparison = compare_runs(runs)
    return page(
        " · ".join(comparison.names),
        [_differences(comparison), _scores(comparison), "<h2>Curves</h2>", _curves(comparison.names, runs)],
    )


def _differences(comparison: Comparison) -> str:
    if not comparison.differences:
        return "<p>Recipes and plans are the same.</p>"
    rows = [
        [one.key.removeprefix("recipe."), *(_written(value) for value in one.values)] for one in comparison.differences
    ]
    names = comparison.names
    return "<h2>What differs</h2>" + table(("key", *names), rows, text_columns=1 + len(names))


def _written(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _scores(comparison: Comparison) -> str:
    sections = []
    tokens = f"at {units.count(comparison.equal_tokens)} tokens"
    for source, beside in comparison.scores.items():
        rows = [
            [
                one.run,
                f"{one.score.last:.3f}",
                f"{one.score.best:.3f}",
                f"{one.score.best_step:,}",
                *("" if value is None else f"{value:.3f}" for value in (one.at_tokens, one.at_step)),
            ]
            for one in beside
        ]
        headings = ("run", "last", "best", "at step", tokens, f"at step {comparison.equal_step:,}")
        sections.append(f"<h2>Bits per byte: {html.escape(source)}</h2>" + table(headings, rows))
    return "".join(sections)


def _curves(names: Sequence[str], runs: Sequence[RunRecord]) -> str:
    histories = [run.history for run in runs]
    longest_s = max((float(h.axis("time")[-1]) for h in histories if len(h.steps)), default=0.0)
    unit_s, unit = time_unit(longest_s)
    titles = {"step": "step", "tokens": "tokens", "time": f"{unit} of steps", "flops": "FLOPs"}
    scaled = [{key: history.axis(key) / (unit_s if key == "time" else 1.0) for key in AXES} for history in histories]
    sources = list(dict.fromkeys(source for history in histories for source in history.held_out()))
    figures = [
        figure(
            f"Bits per byte of held-out text: {source}",
            {
                key: _scales(title, "bits per byte", _held_out(names, histories, scaled, source, key))
                for key, title in titles.items()
            },
            is_main=source == "all",
        )
        for source in sources
    ]
    for title, name, y_title, has_scales in _FIGURES:
        charts: dict[str, str | dict[str, str]] = {}
        for key, x_title in titles.items():
            lines = _lines(names, histories, scaled, name, key)
            charts[key] = _scales(x_title, y_title, lines) if has_scales else draw_chart(Axes(x_title, y_title), lines)
        figures.append(figure(title, charts, is_main=name == "loss"))
    return switched({"step": "step", "tokens": "tokens", "time": "time", "flops": "FLOPs"}, figures)


def _scales(x_title: str, y_title: str, series: Sequence[Series]) -> dict[str, str]:
    return {
        scale: draw_chart(Axes(x_title, y_title, log_x=scale == "log", log_y=scale != "linear"), series)
        for scale in SCALES
    }


def _held_out(
    names: Sequence[str],
    histories: Sequence[History],
    scaled: Sequence[dict[str, np.ndarray]],
    source: str,
    key: str,
) -> list[Series]:
    lines = []
    for number, (name, history, axes) in enumerate(zip(names, histories, scaled, strict=True)):
        points = history.held_out().get(source)
        if points and len(history.steps):
            steps, values = (np.array(column, np.float64) for column in zip(*points, strict=True))
            lines.append(Series(name, np.interp(steps, history.steps, axes[key]), values, number))
    return lines


def _lines(
    names: Sequence[str], histories: Sequence[History], scaled: Sequence[dict[str, np.ndarray]], name: str, key: str
) -> list[Series]:
    return [
        one
        for number, (run, history, axes) in enumerate(zip(names, histories, scaled, strict=True))
        for one in smoothed(run, axes[key], history.figures(name), number)
    ]
