"""A run on a terminal while it goes on: figures and a curve, drawn over themselves twice a second.

The run only hands its events over; a thread draws. So a step costs the run microseconds, whatever is on the screen.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType

import numpy as np
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from textmill.base import units
from textmill.base.events import Event
from textmill.cli.output import Output, for_terminal
from textmill.cli.terminal_chart import STYLES, Curve, draw_chart
from textmill.cli.train_figures import TrainFigures, figure
from textmill.train.run_history import TUNED

REFRESHES_PER_S = 2
LEAST_WIDTH, LEAST_HEIGHT = 60, 18
_CHART_LINES = (4, 12)
_OTHER_LINES = 12
_BAR, _LEAST_BAR = 30, 5
_WIDE = 79


def can_show(output: Output) -> bool:
    """Whether the view fits what messages go to: a terminal that can be drawn over, and is large enough."""
    console = output.messages
    if not console.is_terminal or console.is_dumb_terminal:
        return False
    return console.width >= LEAST_WIDTH and console.height >= LEAST_HEIGHT


class TrainScreen:
    """Shows a run's figures until it is closed, and leaves nothing behind."""

    def __init__(
        self,
        output: Output,
        name: str,
        num_steps: int,
        stages: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._clock = name, clock
        self._figures = TrainFigures(num_steps, clock(), stages)
        self._waiting: deque[tuple[float, Event]] = deque()
        self._drawing = threading.Lock()
        self._live = Live(
            _View(self),
            console=output.messages,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> TrainScreen:
        self._live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def recall(self, events: Iterable[Event], step: int) -> None:
        """Take what a run that goes on from ``step`` told before, up to there."""
        began_s = self._clock() - time.time()
        self._waiting.extend((began_s + event.time_s, event) for event in events if event.step <= step)

    def event(self, event: Event) -> None:
        """Take the next event; who draws next reads it."""
        self._waiting.append((self._clock(), event))

    def lines(self, width: int, height: int, *, colour: bool) -> list[Text]:
        """The view as it stands, in lines that fit."""
        with self._drawing:
            while self._waiting:
                when_s, event = self._waiting.popleft()
                self._figures.add(event, when_s)
            drawn = list(draw_figures(self._figures, self._name, width, height, self._clock(), colour=colour))
        for line in drawn:
            line.rstrip()
            line.truncate(width, overflow="ellipsis")
        return drawn[: max(1, height - 1)]


class _View:
    def __init__(self, screen: TrainScreen) -> None:
        self._screen = screen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        colour = console.color_system is not None and not console.no_color
        lines = self._screen.lines(console.width - 1, console.height, colour=colour)
        yield Text("\n").join(lines)


def draw_figures(
    figures: TrainFigures, name: str, width: int, height: int, now_s: float, *, colour: bool
) -> Iterator[Text]:
    """Draw a run's figures, each line by itself."""
    yield _head(figures, name, width)
    yield Text("")
    yield _losses(figures, width)
    yield from _chart(figures, width, height, colour=colour)
    yield Text("")
    yield _rates(figures)
    yield _progress(figures, now_s)
    yield _held_out(figures)
    yield _saved(figures, now_s)
    if figures.sample is not None:
        yield Text.assemble(("  writes      ", "dim"), for_terminal(repr(figures.sample)))


def _head(figures: TrainFigures, name: str, width: int) -> Text:
    share = min(1.0, figures.step / max(1, figures.num_steps))
    left = figures.remaining_s
    end = f"  {100 * share:.0f} %" + ("" if left is None else f"  {units.seconds(max(0.0, left))} left")
    steps = f"  step {figures.step:,} of {figures.num_steps:,}  "
    room = max(8, width - len(steps) - len(end) - _LEAST_BAR - 2)
    line = Text.assemble((f"  {for_terminal(name)[:room]}", "bold"), steps)
    length = max(_LEAST_BAR, min(_BAR, width - line.cell_len - len(end)))
    done = round(share * length)
    line.append("━" * done, style="cyan")
    line.append("─" * (length - done), style="dim")
    line.append(end)
    return line


def _losses(figures: TrainFigures, width: int) -> Text:
    line = Text("  ")
    for title, smooth, now in (
        ("loss", figures.loss.value, figure(figures.last, "loss")),
        ("bits/byte", figures.bits.value, figure(figures.last, "bits_per_byte")),
    ):
        if smooth is not None:
            line.append(f"{title} ", style="dim")
            line.append(f"{smooth:.3f}", style="bold")
            line.append(f" (now {now:.3f})   " if now is not None and width >= _WIDE else "   ", style="dim")
    if "all" in figures.held_out:
        line.append("held out ", style="dim")
        line.append(f"{figures.held_out['all']:.3f}", style="bold")
        line.append(f" at {figures.held_out_step:,}", style="dim")
    return line


def _chart(figures: TrainFigures, width: int, height: int, *, colour: bool) -> list[Text]:
    least, most = _CHART_LINES
    curves = [
        Curve(letter, np.array(curve.xs, float), np.array(curve.ys, float))
        for letter, curve in (("t", figures.training), ("h", figures.held_out_curve))
    ]
    if len(figures.training.xs) < 2:
        return []
    first, last = f"{figures.training.xs[0]:,.0f}", f"{figures.training.xs[-1]:,.0f}"
    lines = max(least, min(most, height - _OTHER_LINES))
    legend = Text("  bits/byte by step: ", style="dim")
    for number, (curve, name) in enumerate(zip(curves, ("training", "held out"), strict=True)):
        if curve.is_drawable:
            legend.append(f"{curve.letter} {name}  ", style=STYLES[number])
    return [legend, *draw_chart(curves, width - 2, lines, (first, last), letters=not colour)]


def _rates(figures: TrainFigures) -> Text:
    last = figures.last
    shown = (
        ("lr", "lr", lambda value: f"{value:.2e}".replace("e-0", "e-")),
        ("grad norm", "grad_norm", lambda value: f"{value:.3g}"),
        *((name.replace("_", " "), name, lambda value: f"{value:.3g}") for name in TUNED),
        ("", "tokens_per_s", lambda value: f"{units.count(value)} tokens/s"),
        ("MFU", "mfu", lambda value: f"{100 * value:.1f} %"),
        ("memory", "memory_bytes", units.num_bytes),
    )
    return _row((title, write(value)) for title, name, write in shown if (value := figure(last, name)) is not None)


def _progress(figures: TrainFigures, now_s: float) -> Text:
    shown = []
    if figures.stage is not None:
        several = figures.stage in figures.stages and len(figures.stages) > 1
        place = f" ({figures.stages.index(figures.stage) + 1} of {len(figures.stages)})" if several else ""
        shown.append(("stage", f"{for_terminal(figures.stage)}{place}"))
    tokens = figure(figures.last, "tokens")
    if tokens is not None:
        shown.append(("tokens", units.count(tokens)))
    shown.append(("for", units.seconds(now_s - figures.began_s)))
    return _row(shown)


def _held_out(figures: TrainFigures) -> Text:
    by_source = [
        (for_terminal(name), f"{value:.3f}")
        for name, value in sorted(figures.held_out.items(), key=lambda item: (item[0] != "all", item[0]))
    ]
    return _row(by_source) if by_source else Text("  not evaluated yet", style="dim")


def _saved(figures: TrainFigures, now_s: float) -> Text:
    if figures.checkpoint is None:
        line = Text("  no checkpoint yet", style="dim")
    else:
        step, when_s, num_bytes = figures.checkpoint
        size = "" if num_bytes is None else f", {units.num_bytes(num_bytes)}"
        ago = units.seconds(max(1.0, now_s - when_s))
        line = Text.assemble(("  saved ", "dim"), f"step {step:,}", (f" {ago} ago{size}", "dim"))
    if figures.spike_steps:
        number = len(figures.spike_steps)
        last = f"the last at {figures.spike_steps[-1]:,}"
        line.append(f"   {number} spike{'s' if number > 1 else ''}, {last}", style="yellow")
    if figures.num_discards:
        line.append(f"   batches left out: {figures.num_discards}", style="yellow")
    return line


def _row(shown: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Text:
    line = Text("  ")
    for title, value in shown:
        line.append(f"{title} " if title else "", style="dim")
        line.append(f"{value}   ")
    return line
