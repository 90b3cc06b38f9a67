"""Charts as HTML text: lines in an SVG that stretches with the page, labels beside it that do not.

The same bytes for the same data, no script. What can be switched on the page (smoothing) is a class of its lines.
"""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from textmill.base import units

SIZE = 1000
"""Width and height of a plot in its own units; the page stretches both."""
# Okabe and Ito's colours, told apart in every common colour blindness (https://jfly.uni-koeln.de/color/).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_DASHES = ("", "6 3", "2 3", "9 3 2 3")
_SHOWN_SHARE = 0.99  # the first steps, and spikes, do not flatten the rest
_MOST_POINTS = 250


@dataclass(frozen=True, slots=True)
class Series:
    """One line: points by rising x; those that are not finite are left out.

    Attributes:
        name: for the legend; none where empty.
        colour: its number among ``COLOURS``; beyond them lines are dashed.
        look: a class of the page's style: ``raw``, ``smooth-1``, ``smooth-2``, or empty.
    """

    name: str
    xs: np.ndarray
    ys: np.ndarray
    colour: int = 0
    look: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A line across the plot at x, with what happened there."""

    x: float
    text: str


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of the x axis with a name."""

    low: float
    high: float
    name: str


@dataclass(frozen=True, slots=True)
class Axes:
    """What the axes are, and whether they are logarithmic."""

    x_title: str
    y_title: str
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    """Places values of one axis on 0 to ``SIZE``."""

    low: float
    high: float
    is_log: bool

    def place(self, values: np.ndarray) -> np.ndarray:
        low, high = (math.log(self.low), math.log(self.high)) if self.is_log else (self.low, self.high)
        inside = np.clip(values, self.low, self.high)
        return ((np.log(inside) if self.is_log else inside) - low) / (high - low) * SIZE

    def share(self, value: float) -> float:
        """Where a value lies, in per cent of the axis."""
        return float(self.place(np.array([value]))[0]) * 100 / SIZE

    def ticks(self, wanted: int) -> list[float]:
        return log_ticks(self.low, self.high, wanted) if self.is_log else ticks(self.low, self.high, wanted)


def draw_chart(
    axes: Axes, series: Sequence[Series], *, marks: Sequence[Mark] = (), bands: Sequence[Band] = (), legend: bool = True
) -> str:
    """Draw series over common axes; empty where there is no point.

    A series of many points is drawn through the lowest and the highest of each of 250 stretches, so that no spike is
    lost; one that is smooth already, through 250 of its points. A linear y axis leaves out what lies above the
    99th percentile.
    """
    known = [one for one in (_known(one, axes) for one in series) if len(one.xs)]
    if not known:
        return ""
    x_scale, y_scale = _x_scale(known, axes.log_x), _y_scale(known, axes.log_y)
    inside = [mark for mark in marks if x_scale.low <= mark.x <= x_scale.high]
    drawn = [*_stretches(bands, x_scale), *_grid(y_scale)]
    drawn += [_line(one, x_scale, y_scale) for one in known]
    drawn += [_mark(mark, x_scale) for mark in inside]
    labels = [
        f'<span class="y" style="bottom:{y_scale.share(tick):.1f}%">{tick_label(tick)}</span>'
        for tick in y_scale.ticks(5)
    ]
    labels += [*_x_labels(x_scale), *(_mark_label(mark, x_scale) for mark in inside), *_band_names(bands, x_scale)]
    names = [(one.colour, f"{one.name} {one.ys[-1]:.3f}") for one in known if one.name] if legend else []
    return _framed("plot", drawn, labels, (axes.y_title, axes.x_title), names)


def draw_shares(
    x_title: str, x_range: tuple[float, float], bands: Sequence[Band], shares: Sequence[dict[str, float]]
) -> str:
    """Draw for each band what parts it is made of, stacked; parts that are the same have one colour."""
    if not bands or x_range[1] <= x_range[0]:
        return ""
    names = list(dict.fromkeys(name for parts in shares for name in parts))
    scale = _Scale(*x_range, is_log=False)
    drawn = []
    for band, parts in zip(bands, shares, strict=True):
        low, high = scale.place(np.array([band.low, band.high]))
        below, total = 0.0, sum(parts.values()) or 1.0
        for name, weight in parts.items():
            height = weight / total * SIZE
            title = html.escape(f"{band.name}: {100 * weight / total:.3g} % {name}")
            drawn.append(
                f'<rect x="{low:.0f}" y="{SIZE - below - height:.0f}" width="{max(0.0, high - low):.0f}" '
                f'height="{height:.0f}" fill="{_colour(names.index(name))}"><title>{title}</title></rect>'
            )
            below += height
    labels = [*_x_labels(scale), *_band_names(bands, scale)]
    return _framed("plot low", drawn, labels, ("share", x_title), list(enumerate(names)))


def _framed(
    kind: str,
    drawn: Sequence[str],
    labels: Sequence[str],
    titles: tuple[str, str],
    names: Sequence[tuple[int, str]],
) -> str:
    """Put what is drawn, the labels around it, the axes' titles and a legend together."""
    y_title, x_title = (html.escape(title) for title in titles)
    items = "".join(f"<li>{_swatch(colour)}{html.escape(name)}</li>" for colour, name in names)
    legend = f'<ul class="legend">{items}</ul>' if items else ""
    return (
        f'<div class="chart"><div class="{kind}"><svg viewBox="0 0 {SIZE} {SIZE}" preserveAspectRatio="none" '
        f'role="img" aria-label="{y_title} by {x_title}">{"".join(drawn)}</svg>{"".join(labels)}</div>'
        f'<div class="axes"><span>{y_title}</span><span>by {x_title}</span></div>{legend}</div>'
    )


def _stretches(bands: Sequence[Band], scale: _Scale) -> Iterator[str]:
    """Every second band, shaded."""
    for band in bands[1::2]:
        low, high = scale.place(np.array([band.low, band.high]))
        if high > low:
            yield f'<rect class="band" x="{low:.0f}" y="0" width="{high - low:.0f}" height="{SIZE}"/>'


def _grid(scale: _Scale) -> Iterator[str]:
    for tick in scale.ticks(5):
        y = SIZE - scale.share(tick) * SIZE / 100
        yield f'<line class="grid" x1="0" x2="{SIZE}" y1="{y:.0f}" y2="{y:.0f}"/>'


def _x_labels(scale: _Scale) -> Iterator[str]:
    for tick in scale.ticks(4):
        yield f'<span class="x" style="left:{scale.share(tick):.1f}%">{tick_label(tick)}</span>'


def _mark(mark: Mark, scale: _Scale) -> str:
    x = scale.share(mark.x) * SIZE / 100
    title = f"<title>{html.escape(mark.text)}</title>"
    return f'<line class="mark" x1="{x:.0f}" x2="{x:.0f}" y1="0" y2="{SIZE}">{title}</line>'


def _mark_label(mark: Mark, scale: _Scale) -> str:
    return f'<span class="spike" style="left:{scale.share(mark.x):.1f}%" title="{html.escape(mark.text)}">▼</span>'


def _known(series: Series, axes: Axes) -> Series:
    keep = np.isfinite(series.xs) & np.isfinite(series.ys)
    if axes.log_x:
        keep &= series.xs > 0
    if axes.log_y:
        keep &= series.ys > 0
    return Series(series.name, series.xs[keep], series.ys[keep], series.colour, series.look)


def _x_scale(series: Sequence[Series], is_log: bool) -> _Scale:
    low = min(float(one.xs.min()) for one in series)
    high = max(float(one.xs.max()) for one in series)
    return _Scale(low, high if high > low else low * 2 or 1.0, is_log)


def _y_scale(series: Sequence[Series], is_log: bool) -> _Scale:
    ys = np.sort(np.concatenate([one.ys for one in series]))
    if is_log:
        return _Scale(float(ys[0]) / 1.02, float(ys[-1]) * 1.02, is_log)
    low, high = float(ys[0]), float(ys[min(len(ys) - 1, int(len(ys) * _SHOWN_SHARE))])
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return _Scale(max(low - margin, 0.0) if low >= 0 else low - margin, high + margin, is_log)


def _line(series: Series, x_scale: _Scale, y_scale: _Scale) -> str:
    xs, ys = _extremes(series.xs, series.ys) if series.look in ("", "raw") else _every(series.xs, series.ys)
    across = np.rint(x_scale.place(xs)).astype(int)
    down = SIZE - np.rint(y_scale.place(ys)).astype(int)
    dash = _DASHES[series.colour // len(COLOURS) % len(_DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    look = f' class="{series.look}"' if series.look else ""
    colour = _colour(series.colour)
    if len(xs) == 1:
        return f'<path class="{f"{series.look} dot".strip()}" stroke="{colour}" d="M{across[0]} {down[0]}h0"/>'
    points = " ".join(f"{x},{y}" for x, y in zip(across, down, strict=True))
    return f'<polyline{look} stroke="{colour}"{dashes} points="{points}"/>'


def _extremes(xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the lowest and the highest point of each stretch, in their order."""
    if len(xs) <= 2 * _MOST_POINTS:
        return xs, ys
    edges = np.linspace(0, len(xs), _MOST_POINTS + 1).astype(int)
    keep = {0, len(xs) - 1}
    for start, end in itertools.pairwise(edges):
        keep |= {start + int(np.argmin(ys[start:end])), start + int(np.argmax(ys[start:end]))}
    order = sorted(keep)
    return xs[order], ys[order]


def _every(xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep points of a smooth line at even distances."""
    keep = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), _MOST_POINTS)).astype(int))
    return xs[keep], ys[keep]


def _band_names(bands: Sequence[Band], scale: _Scale) -> list[str]:
    if len(bands) < 2:
        return []
    return [
        f'<span class="stage" style="left:{scale.share(band.low):.1f}%">{html.escape(band.name)}</span>'
        for band in bands
        if scale.low <= band.high and band.low <= scale.high
    ]


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _swatch(colour: int) -> str:
    dash = _DASHES[colour // len(COLOURS) % len(_DASHES)]
    style = "dashed" if dash else "solid"
    return f'<i style="border-top-color:{_colour(colour)};border-top-style:{style}"></i>'


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers in [low, high]: multiples of 1, 2 or 5 times a power of ten, about as many as wanted."""
    rough = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers for a logarithmic axis: powers of ten, 2 and 5 times them, or as on a linear axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1,)):
        found = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        found = [value for value in found if low <= value <= high]
        if 3 <= len(found) <= 2 * wanted:
            return found
    powers = [10.0**power for power in range(first, last + 1) if low <= 10.0**power <= high]
    return powers[:: -(-len(powers) // wanted)] if len(powers) > 2 else ticks(low, high, wanted)


def tick_label(value: float) -> str:
    """Write a round number beside an axis, shortly."""
    if value and (abs(value) < 0.01 or abs(value) >= 1e15):
        return f"{value:.3g}".replace("e-0", "e-").replace("e+", "e")
    return units.count(value) if abs(value) >= 1000 else f"{value:g}" if abs(value) >= 10 else f"{round(value, 6):g}"
