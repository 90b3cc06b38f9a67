"""Line charts as SVG text: axes with round ticks, one line a series, the same bytes for the same data."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

from textmill.base import units

HEIGHT = 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 40
_MAX_POINTS = 1200
# Okabe and Ito's colours, told apart in every common colour blindness (https://jfly.uni-koeln.de/color/).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


@dataclass(frozen=True, slots=True)
class Series:
    """One line: a name for the legend (none where empty) and points (x, y) in the order of x."""

    name: str
    points: list[tuple[float, float]]


def line_chart(series: Sequence[Series], y_title: str, x_title: str, width: int = 960) -> str:
    """Draw series over common axes.

    A series of more than 1,200 points is drawn through the means of equal stretches; the y axis leaves out what lies
    above the 99th percentile, so that the first steps do not flatten the rest.
    """
    lines = [Series(one.name, _thin(one.points)) for one in series if one.points]
    xs = [x for one in lines for x, _ in one.points]
    ys = sorted(y for one in lines for _, y in one.points)
    if not xs:
        return ""
    x_low = min(xs)
    x_high = max(*xs, x_low + 1)
    y_low, y_high = ys[0], ys[min(len(ys) - 1, int(len(ys) * 0.99))]
    margin = (y_high - y_low) * 0.05 or abs(y_high) * 0.05 or 1.0
    y_low, y_high = max(y_low - margin, 0.0 if y_low >= 0 else -math.inf), y_high + margin

    def place(x: float, y: float) -> tuple[float, float]:
        right = width - _LEFT - _RIGHT
        down = HEIGHT - _TOP - _BOTTOM
        share = (min(y, y_high) - y_low) / (y_high - y_low)
        return _LEFT + (x - x_low) / (x_high - x_low) * right, _TOP + (1 - share) * down

    parts = [f'<svg viewBox="0 0 {width} {HEIGHT}" role="img" aria-label="{html.escape(y_title)} by {x_title}">']
    for tick in _ticks(y_low, y_high, 5):
        _, y = place(x_low, tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_label(tick)}</text>')
    for tick in _ticks(x_low, x_high, width // 120):
        x, _ = place(tick, y_low)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - _BOTTOM + 18}" text-anchor="middle">{_label(tick)}</text>')
    parts.append(f'<text x="{width - _RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{html.escape(x_title)}</text>')
    parts.append(f'<text x="4" y="{HEIGHT - 6}">{html.escape(y_title)}</text>')
    for number, one in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in one.points))
        if len(one.points) > 1:
            parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.8" points="{path}"/>')
        else:
            x, y = place(*one.points[0])
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        if one.name:
            top = _TOP + 14 + 18 * number
            parts.append(f'<rect x="{width - 216}" y="{top - 9}" width="18" height="4" fill="{colour}"/>')
            last = one.points[-1][1]
            parts.append(f'<text x="{width - 192}" y="{top - 3}">{html.escape(one.name)} {last:.3f}</text>')
    return "".join(parts) + "</svg>"


def _thin(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    stretch = -(-len(points) // _MAX_POINTS)
    if stretch <= 1:
        return points
    parts = [points[start : start + stretch] for start in range(0, len(points), stretch)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def _ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers in [low, high]: multiples of 1, 2 or 5 times a power of ten, about as many as wanted."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def _label(value: float) -> str:
    if value and abs(value) < 0.01:
        return f"{value:.0e}".replace("e-0", "e-")
    return units.count(value) if abs(value) >= 1000 else f"{value:g}" if abs(value) >= 10 else f"{round(value, 6):g}"
