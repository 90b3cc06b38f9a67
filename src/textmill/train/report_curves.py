"""The curves of a run's report: each figure over steps, tokens and time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from textmill.train.chart import Axes, Band, Mark, Series, draw_chart, draw_shares
from textmill.train.page import SCALES, figure, switched
from textmill.train.run_facts import incidents_of, told
from textmill.train.run_history import History

_SMOOTHINGS = (("smooth-1", 0.01, 3), ("smooth-2", 0.05, 9))
_TUNED = (
    ("reward", "Reward", "mean of a step's answers"),
    ("reward_margin", "Reward margin", "nats: chosen over rejected"),
    ("accuracy", "Accuracy", "share of pairs in the right order"),
    ("kl", "Divergence from the first model", "nats/token"),
)
_TIME_UNITS = ((172_800.0, 86_400.0, "days"), (7200.0, 3600.0, "hours"), (120.0, 60.0, "minutes"))


@dataclass(frozen=True, slots=True)
class RunAxis:
    """An x axis of a run: where each of its steps lies."""

    title: str
    steps: np.ndarray
    xs: np.ndarray

    def at(self, steps: np.ndarray | Sequence[float]) -> np.ndarray:
        """Where steps lie; those before the first lie with it."""
        return np.interp(np.asarray(steps, np.float64), self.steps, self.xs)


def run_axes(history: History, names: Sequence[str] = ("step", "tokens", "time")) -> dict[str, RunAxis]:
    """The axes of a run, time in a unit that fits it."""
    steps = history.steps.astype(np.float64)
    axes = {}
    for name in names:
        xs = history.axis(name)
        title = {"step": "step", "tokens": "tokens", "flops": "FLOPs"}.get(name, "")
        if name == "time":
            size, title = time_unit(float(xs[-1]) if len(xs) else 0.0)
            xs, title = xs / size, f"{title} of steps"
        axes[name] = RunAxis(title, steps, xs)
    return axes


def time_unit(longest_s: float) -> tuple[float, str]:
    """A unit of time for an axis: its seconds and its name."""
    return next(((size, name) for least, size, name in _TIME_UNITS if longest_s >= least), (1.0, "seconds"))


def smoothed(name: str, xs: np.ndarray, ys: np.ndarray, colour: int = 0) -> list[Series]:
    """A line as it is, and through means of 1 % and 5 % of its points, which the page switches between."""
    lines = [Series("", xs, ys, colour, "raw")]
    for look, share, least in _SMOOTHINGS:
        # One of them stands for the line in the legend.
        legend = name if look == _SMOOTHINGS[0][0] else ""
        lines.append(Series(legend, xs, centred_mean(ys, max(least, round(share * len(ys)))), colour, look))
    return lines


def centred_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of those of the ``window`` values around each that are numbers; fewer at the ends."""
    known = np.isfinite(values)
    sums = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    counts = np.concatenate([[0], np.cumsum(known)])
    places = np.arange(len(values))
    half = np.minimum(np.minimum(places, len(values) - 1 - places), window // 2)
    number = counts[places + half + 1] - counts[places - half]
    total = sums[places + half + 1] - sums[places - half]
    return np.divide(total, number, out=np.full(len(values), np.nan), where=number > 0)


def curves(history: History) -> str:
    """All curves of a run under their switches."""
    if not len(history.steps):
        return "<p>No step has been taken yet.</p>"
    axes = run_axes(history)
    draw = _Drawing(history, axes)
    known = [name for name, *_ in _TUNED if np.any(np.isfinite(history.figures(name)))]
    figures = [
        draw.line("Loss", "loss", "nats/token", is_main=True, scales=True),
        draw.bits(),
        *(draw.line(title, name, y, is_main=True) for name, title, y in _TUNED if name in known),
        draw.line("Learning rate", "lr", "learning rate", plain=True),
        draw.mixture(),
        draw.line("Gradient norm", "grad_norm", "norm before clipping", scales=True),
        draw.line("Speed", "tokens_per_s", "tokens/s"),
        draw.line("MFU", "mfu", "%", factor=100.0),
        draw.line("Memory", "memory_bytes", "GB", factor=1e-9, plain=True),
    ]
    return "<h2>Curves</h2>" + switched({name: name for name in axes}, figures)


class _Drawing:
    def __init__(self, history: History, axes: dict[str, RunAxis]) -> None:
        self._history, self._axes = history, axes
        self._incidents = [one for one in incidents_of(history) if one.kind in ("spike", "discard")]
        self._stages = history.stages()

    def line(
        self,
        title: str,
        name: str,
        y_title: str,
        *,
        is_main: bool = False,
        scales: bool = False,
        plain: bool = False,
        factor: float = 1.0,
    ) -> str:
        """A figure of one column of the log, and of what is held out of tuning beside it."""
        ys = self._history.figures(name) * factor
        held_out = self._history.held_out_items().get(name, [])

        def series(axis: RunAxis) -> list[Series]:
            lines = [Series("", axis.xs, ys)] if plain else smoothed("training" if held_out else "", axis.xs, ys)
            if held_out:
                steps, values = (np.array(column, np.float64) for column in zip(*held_out, strict=True))
                lines.append(Series("held out", axis.at(steps), values, 1))
            return lines

        return figure(title, self._each(series, y_title, scales=scales, legend=bool(held_out)), is_main=is_main)

    def bits(self) -> str:
        """Bits per byte of the training text and, by source, of held-out text."""
        ys = self._history.figures("bits_per_byte")
        held_out = self._history.held_out()

        def series(axis: RunAxis) -> list[Series]:
            lines = smoothed("training", axis.xs, ys)
            for number, (name, points) in enumerate(held_out.items()):
                steps, values = (np.array(column, np.float64) for column in zip(*points, strict=True))
                lines.append(Series(f"held out: {name}", axis.at(steps), values, number + 1))
            return lines

        return figure("Bits per byte", self._each(series, "bits per byte", scales=True), is_main=True)

    def mixture(self) -> str:
        """What each stage's batches are made of."""
        if not any(stage.mixture for stage in self._stages):
            return ""
        shares = [stage.mixture for stage in self._stages]
        charts = {}
        for key, axis in self._axes.items():
            low = min(float(axis.xs[0]), *(band.low for band in self._bands(axis)))
            charts[key] = draw_shares(axis.title, (low, float(axis.xs[-1])), self._bands(axis), shares)
        return figure("Mixture by stage", charts)

    def _each(
        self, series: Callable[[RunAxis], list[Series]], y_title: str, *, scales: bool, legend: bool = False
    ) -> dict[str, str | dict[str, str]]:
        charts: dict[str, str | dict[str, str]] = {}
        for key, axis in self._axes.items():
            lines, marks, bands = series(axis), self._marks(axis), self._bands(axis)
            if scales:
                charts[key] = {
                    scale: draw_chart(
                        Axes(axis.title, y_title, log_x=scale == "log", log_y=scale != "linear"),
                        lines,
                        marks=marks,
                        bands=bands,
                    )
                    for scale in SCALES
                }
            else:
                charts[key] = draw_chart(Axes(axis.title, y_title), lines, marks=marks, bands=bands, legend=legend)
        return charts

    def _marks(self, axis: RunAxis) -> list[Mark]:
        return [Mark(float(axis.at([one.step])[0]), told(one)) for one in self._incidents]

    def _bands(self, axis: RunAxis) -> list[Band]:
        bands = []
        for stage in self._stages:
            low, high = axis.at([stage.first_step, stage.last_step])
            bands.append(Band(float(low), float(high), stage.name))
        return bands
