"""A figure as SVG text: the same bytes from the same numbers, readable by day and by night.

Coordinates are pixels of a figure 720 wide, rounded to a tenth, so that the last bit of a cosine moves nothing.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from textmill.train.chart import COLOURS, log_ticks, tick_label, ticks

WIDTH = 720
INK, SOFT, PAPER = "#1a1a1a", "#6b6b6b", "#ffffff"
GRID = "#e4e4e4"


@dataclass(slots=True)
class Figure:
    """What is drawn so far, on paper of ``height`` pixels; ``title`` is what those hear who do not see it."""

    title: str
    height: int
    parts: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, text: str, *, size: int = 13, anchor: str = "start", fill: str = INK) -> None:
        """Write a line whose baseline is at ``y``."""
        self.parts.append(
            f'<text x="{_at(x)}" y="{_at(y)}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">'
            f"{html.escape(text)}</text>"
        )

    def box(self, x: float, y: float, width: float, height: float, *, fill: str, stroke: str = "none") -> None:
        """Draw a rectangle."""
        self.parts.append(
            f'<rect x="{_at(x)}" y="{_at(y)}" width="{_at(width)}" height="{_at(height)}" fill="{fill}" '
            f'stroke="{stroke}"/>'
        )

    def line(self, points: Iterable[tuple[float, float]], *, stroke: str, width: float = 2, dash: str = "") -> None:
        """Draw straight lines from point to point."""
        places = " ".join(f"{_at(x)},{_at(y)}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self.parts.append(
            f'<polyline points="{places}" fill="none" stroke="{stroke}" stroke-width="{width:g}"{dashes}/>'
        )

    def svg(self) -> str:
        """All of it, with the paper below."""
        body = "\n".join(self.parts)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" role="img" '
            f'font-family="system-ui, sans-serif">\n<title>{html.escape(self.title)}</title>\n'
            f'<rect width="{WIDTH}" height="{self.height}" rx="6" fill="{PAPER}"/>\n{body}\n</svg>\n'
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """Values from ``low`` to ``high``, ``title`` with their unit, ``label`` writing one of them."""

    title: str
    low: float
    high: float
    is_log: bool = False
    num_ticks: int = 5
    label: Callable[[float], str] = tick_label

    def share(self, value: float) -> float:
        """Where a value lies, 0 to 1."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values along it."""
        return (log_ticks if self.is_log else ticks)(self.low, self.high, self.num_ticks)


@dataclass(frozen=True, slots=True)
class Plot:
    """A rectangle of a figure with two axes; what is drawn in it is given in their values."""

    figure: Figure
    x: Axis
    y: Axis
    left: float = 64
    top: float = 34
    width: float = 630
    height: float = 220

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a point."""
        return self.left + self.x.share(x) * self.width, self.top + (1 - self.y.share(y)) * self.height

    def frame(self) -> None:
        """Grid, labels and titles; the first thing that is drawn."""
        bottom = self.top + self.height
        for value in self.y.ticks():
            _, y = self.place(self.x.low, value)
            self.figure.line([(self.left, y), (self.left + self.width, y)], stroke=GRID, width=1)
            self.figure.text(self.left - 8, y + 4, self.y.label(value), size=12, anchor="end", fill=SOFT)
        for value in self.x.ticks():
            x, _ = self.place(value, self.y.low)
            self.figure.line([(x, bottom), (x, bottom + 4)], stroke=SOFT, width=1)
            self.figure.text(x, bottom + 18, self.x.label(value), size=12, anchor="middle", fill=SOFT)
        self.figure.line([(self.left, bottom), (self.left + self.width, bottom)], stroke=SOFT, width=1)
        self.figure.text(self.left - 48, self.top - 14, self.y.title, size=13)
        self.figure.text(self.left + self.width, bottom + 36, self.x.title, size=13, anchor="end")

    def curve(self, xs: Iterable[float], ys: Iterable[float], *, colour: int, dash: str = "") -> None:
        """Draw a line through points."""
        points = [self.place(x, y) for x, y in zip(xs, ys, strict=True)]
        self.figure.line(points, stroke=COLOURS[colour], dash=dash)

    def level(self, y: float, text: str, *, share: float = 0.01) -> None:
        """Draw a dashed line across, with what it is, from a ``share`` of the width on."""
        left, height = self.place(self.x.low, y)
        self.figure.line([(left, height), (left + self.width, height)], stroke=INK, width=1, dash="4 3")
        self.figure.text(left + share * self.width, height - 5, text, size=12)


def legend(figure: Figure, x: float, y: float, names: Sequence[tuple[int, str]], *, step: float = 20) -> None:
    """Write names below one another, each behind a square of its colour."""
    for place, (colour, name) in enumerate(names):
        figure.box(x, y + place * step - 10, 11, 11, fill=COLOURS[colour])
        figure.text(x + 17, y + place * step, name, size=12)


def _at(value: float) -> str:
    return f"{round(value, 1) + 0.0:g}"
