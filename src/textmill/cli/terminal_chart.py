"""Curves on a terminal: dots of braille in colour, or letters where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.text import Text

STYLES = ("cyan", "yellow", "green", "magenta", "red", "blue")
_LABEL_WIDTH = 8
_BLOCKS = "▁▂▃▄▅▆▇█"
# Bits of a braille cell by row and column: U+2800 and up, as ISO 11548-1 numbers its dots.
_BITS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_RANGE_OF = 0.98  # the share of points, from below, that the highest line of a chart is made for


@dataclass(frozen=True, slots=True)
class Curve:
    """One line of a chart: a letter for it, and points by rising x; those that are not finite are left out."""

    letter: str
    xs: np.ndarray
    ys: np.ndarray

    @property
    def is_drawable(self) -> bool:
        """Whether it has a point."""
        return bool(np.any(np.isfinite(self.xs) & np.isfinite(self.ys)))


def draw_chart(
    curves: Sequence[Curve], width: int, height: int, x_range: tuple[str, str], *, letters: bool = False
) -> list[Text]:
    """Draw curves over common axes in ``height`` lines and one of labels; nothing where there is no point.

    Args:
        curves: drawn in this order, the later over the earlier, in the colours of ``STYLES``.
        width: cells of a line, the labels of the y axis included.
        height: lines of the plot.
        x_range: what to write below its left and right end.
        letters: draw each curve by its letter, a cell a point.
    """
    drawable = [(number, curve) for number, curve in enumerate(curves) if curve.is_drawable]
    if not drawable:
        return []
    across, down = (1, 1) if letters else (2, 4)
    columns = max(8, width - _LABEL_WIDTH - 2)
    grid = np.zeros((height, columns), np.int32)
    owner = np.full((height, columns), -1)
    x_low, x_high, y_low, y_high = _limits([curve for _, curve in drawable])
    for number, curve in drawable:
        edges = np.linspace(x_low, x_high, columns * across + 1)
        first, heights = _levels(curve, edges)
        rows = np.rint((y_high - np.clip(heights, y_low, y_high)) / (y_high - y_low) * (height * down - 1)).astype(int)
        before = rows[0]
        for offset, row in enumerate(rows):
            x = first + offset
            between = range(min(row, before), max(row, before) + 1) if abs(row - before) > 1 else (row,)
            for y in between:
                grid[y // down, x // across] |= _BITS[y % down][x % across] if not letters else 0
                owner[y // down, x // across] = number
            before = row
    lines = []
    for y in range(height):
        label = {0: y_high, height // 2: (y_high + y_low) / 2, height - 1: y_low}.get(y)
        line = Text(
            f"{'' if label is None else _figure(label):>{_LABEL_WIDTH}} ┤" if label is not None else " " * 9 + "│"
        )
        for x in range(columns):
            who = owner[y, x]
            mark = " " if who < 0 else curves[who].letter if letters else chr(0x2800 + int(grid[y, x]))
            line.append(mark, style=None if who < 0 else STYLES[who % len(STYLES)])
        line.rstrip()
        lines.append(line)
    left, right = x_range
    gap = max(1, columns - len(left) - len(right))
    lines.append(Text(" " * (_LABEL_WIDTH + 2) + left + " " * gap + right))
    return lines


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw values in one line of blocks, the last ones where there are too many."""
    known = [value for value in values if np.isfinite(value)][-width:]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    return "".join(_BLOCKS[min(7, int(8 * (value - low) / span))] for value in known)


def _limits(curves: Sequence[Curve]) -> tuple[float, float, float, float]:
    known = [np.isfinite(curve.xs) & np.isfinite(curve.ys) for curve in curves]
    xs = np.concatenate([curve.xs[k] for curve, k in zip(curves, known, strict=True)])
    ys = np.sort(np.concatenate([curve.ys[k] for curve, k in zip(curves, known, strict=True)]))
    low, high = float(ys[0]), float(ys[int((len(ys) - 1) * _RANGE_OF)])
    if high <= low:
        margin = abs(low) * 0.05 or 1.0
        low, high = low - margin, high + margin
    x_low, x_high = float(xs.min()), float(xs.max())
    return x_low, x_high if x_high > x_low else x_low + 1.0, low, high


def _levels(curve: Curve, edges: np.ndarray) -> tuple[int, np.ndarray]:
    """The first column of dots that a curve reaches, and its height in that and the following ones."""
    known = np.isfinite(curve.xs) & np.isfinite(curve.ys)
    xs, ys = curve.xs[known], curve.ys[known]
    places = np.clip(np.searchsorted(edges, xs, side="right") - 1, 0, len(edges) - 2)
    counts = np.bincount(places, minlength=len(edges) - 1)
    sums = np.bincount(places, ys, minlength=len(edges) - 1)
    filled = np.flatnonzero(counts)
    columns = np.arange(filled[0], filled[-1] + 1)
    return int(filled[0]), np.interp(columns, filled, sums[filled] / counts[filled])


def _figure(value: float) -> str:
    return f"{value:.3f}" if 0.01 <= abs(value) < 1000 else f"{value:.2g}"
