"""What the live view of a run knows: the last figures, smoothed ones, and a curve that never grows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from textmill.base.events import Event

_CURVE_POINTS = 512
_RATE_STEPS = 200


@dataclass(slots=True)
class SmallCurve:
    """A curve of at most 512 points: when it is full, neighbours become their mean."""

    xs: list[float] = field(default_factory=list)
    ys: list[float] = field(default_factory=list)
    _stretch: int = 1
    _pending: list[float] = field(default_factory=list)

    def add(self, x: float, y: float) -> None:
        """Add a point; one that lies before the last takes the curve back to it."""
        if self.xs and x <= self.xs[-1]:
            self.cut(x)
        self._pending.append(y)
        if len(self._pending) < self._stretch:
            return
        self.xs.append(x)
        self.ys.append(sum(self._pending) / len(self._pending))
        self._pending.clear()
        if len(self.xs) >= _CURVE_POINTS:
            self.ys = [(a + b) / 2 for a, b in zip(self.ys[::2], self.ys[1::2], strict=True)]
            self.xs = self.xs[1::2]
            self._stretch *= 2

    def cut(self, x: float) -> None:
        """Forget what lies at x or after it."""
        while self.xs and self.xs[-1] >= x:
            self.xs.pop()
            self.ys.pop()
        self._pending.clear()


class Smoothed:
    """An exponential mean over about 20 values, right from the first one."""

    def __init__(self) -> None:
        self._sum = self._weight = 0.0

    def add(self, value: float) -> None:
        """Take the next value; what is no number is passed over."""
        if math.isfinite(value):
            self._sum = 0.95 * self._sum + 0.05 * value
            self._weight = 0.95 * self._weight + 0.05

    @property
    def value(self) -> float | None:
        """The mean, or None before the first value."""
        return self._sum / self._weight if self._weight else None


class TrainFigures:
    """The figures of a run that goes on.

    Memory does not grow with the run. Times are by any one clock, in seconds.

    Attributes:
        last: fields of the last step.
        held_out: the last bits per byte by source, or scores of what tuning holds out, and at which step they were.
        checkpoint: the last one's step, when it was saved, and its bytes.
    """

    def __init__(self, num_steps: int, began_s: float, stages: Sequence[str] = ()) -> None:
        self.num_steps = num_steps
        self.step = 0
        self.last: dict[str, Any] = {}
        self.loss, self.bits = Smoothed(), Smoothed()
        self.training, self.held_out_curve = SmallCurve(), SmallCurve()
        self.held_out: dict[str, float] = {}
        self.held_out_step = 0
        self.stages = list(stages)  # a run that is resumed does not tell them again
        self.stage: str | None = None
        self.checkpoint: tuple[int, float, float | None] | None = None
        self.spike_steps: list[int] = []
        self.num_discards = 0
        self.sample: str | None = None
        self.began_s = began_s
        self._passed: deque[tuple[float, int]] = deque(maxlen=_RATE_STEPS)

    def add(self, event: Event, when_s: float) -> None:
        """Take the next event, and when it came."""
        fields = event.fields
        if event.kind == "step":
            self._add_step(event.step, fields, when_s)
        elif event.kind == "eval":
            self._add_eval(event.step, fields.get("bits_per_byte", _of_items(fields.get("held_out"))))
        elif event.kind in ("start", "resume"):
            self._go_to(event.step)
            self._begin(fields, when_s)
        elif event.kind == "stage":
            self.stage = str(fields.get("name"))
        elif event.kind == "checkpoint":
            self.checkpoint = event.step, when_s, figure(fields, "num_bytes")
        elif event.kind == "spike":
            self.spike_steps = [*self.spike_steps[-99:], event.step]
        elif event.kind == "discard":
            self.num_discards += 1
        elif event.kind == "sample":
            self.sample = f"{fields.get('prompt', '')}{fields.get('text', '')}"

    def _go_to(self, step: int) -> None:
        """Forget what came after a step that a run begins from."""
        self.step = step
        self.training.cut(step + 1)
        self.held_out_curve.cut(step + 1)
        if self.held_out_step > step:
            self.held_out, self.held_out_step = {}, 0
        if self.checkpoint is not None and self.checkpoint[0] > step:
            self.checkpoint = None

    def _begin(self, fields: dict[str, Any], when_s: float) -> None:
        self._passed.clear()
        self._passed.append((when_s, self.step))
        if isinstance(fields.get("num_steps"), int):
            self.num_steps = fields["num_steps"]
        stages = fields.get("stages")
        if isinstance(stages, list):
            self.stages = [str(stage.get("name")) for stage in stages if isinstance(stage, dict)]

    def _add_step(self, step: int, fields: dict[str, Any], when_s: float) -> None:
        if step <= self.step:  # the run went back: what it takes per step is measured afresh
            self._passed.clear()
            self.held_out_curve.cut(step)
        self.step, self.last = step, fields
        self._passed.append((when_s, step))
        loss, bits = figure(fields, "loss"), figure(fields, "bits_per_byte")
        if loss is not None:
            self.loss.add(loss)
        if bits is not None:
            self.bits.add(bits)
            self.training.add(step, bits)
        if isinstance(fields.get("stage"), str):
            self.stage = fields["stage"]

    def _add_eval(self, step: int, scores: object) -> None:
        if not isinstance(scores, dict):
            return
        self.held_out = {str(name): value for name in scores if (value := figure(scores, name)) is not None}
        self.held_out_step = step
        if "all" in self.held_out:
            self.held_out_curve.add(step, self.held_out["all"])

    @property
    def remaining_s(self) -> float | None:
        """Seconds that are left at the rate of the last 200 steps, evaluations and saves among them."""
        if len(self._passed) < 2:
            return None
        (begin, first), (end, last) = self._passed[0], self._passed[-1]
        return (self.num_steps - last) * (end - begin) / (last - first) if last > first else None


def _of_items(scores: object) -> object:
    """Scores of what tuning holds out, named so that they are not taken for those of steps."""
    return (
        {f"held-out {name}".replace("_", " "): scores[name] for name in scores} if isinstance(scores, dict) else scores
    )


def figure(fields: dict[str, Any], name: str) -> float | None:
    """A figure of an event; None where it is missing, or no number."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
