"""A run's log as one course of steps: what was done again after a resume or a rewind counts once, the last time.

A step's figures are kept in columns, so that the log of a million steps is drawn in 100 MB.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from textmill.base.events import Event

# What steps of tuning tell: of pairs of answers (dpo), and of answers that were rewarded (grpo).
TUNED = ("reward_margin", "accuracy", "reward", "kl")
FIGURES = (
    "loss",
    "bits_per_byte",
    "grad_norm",
    "lr",
    "tokens",
    "tokens_per_s",
    "flops_per_s",
    "mfu",
    "memory_bytes",
    *TUNED,
)
AXES = ("step", "tokens", "time", "flops")
# What takes back steps when it happens again; the rest (spikes, errors) happened, whatever came of it.
_TIMELINE = ("eval", "sample", "checkpoint", "stage")
INCIDENTS = ("spike", "discard", "norms_rose", "skip", "micro_rows", "save_failed")
_STATES = {"start": "running", "resume": "running", "step": "running", "stop": "stopped", "end": "finished"}


@dataclass(frozen=True, slots=True)
class StageSpan:
    """A stage of a run: from after ``first_step`` to ``last_step``, both counted in steps done."""

    name: str
    first_step: int
    last_step: int
    context: int | None
    rope_theta: float | None
    mixture: dict[str, float]


class History:
    """What a run's events come to.

    Attributes:
        start: the event a run began with, or None where the log lacks it.
        state: ``preparing``, ``running``, ``stopped`` or ``finished``, as the log tells it.
        last_time_s: when the last event happened, in seconds since the epoch; None without one.
    """

    def __init__(self, events: Iterable[Event] = ()) -> None:
        self.last_time_s: float | None = None
        self._begin()
        for event in events:
            self.add(event)

    def _begin(self) -> None:
        self.start: Event | None = None
        self.state = "preparing"
        self.num_resumes = 0
        self._steps = array("q")
        self._figures = {name: array("d") for name in FIGURES}
        self._events: dict[str, list[Event]] = {kind: [] for kind in (*_TIMELINE, *INCIDENTS, "validation")}

    def add(self, event: Event) -> None:
        """Take the next event."""
        if event.kind == "start":
            self._begin()
            self.start = event
        elif event.kind == "resume":
            self.num_resumes += 1
            self._take_back(event.step)
        elif event.kind == "step":
            self._add_step(event)
        elif event.kind in _TIMELINE:
            self._drop_events(event.kind, event.step - 1)
            self._events[event.kind].append(event)
        elif event.kind in INCIDENTS or event.kind == "validation":
            self._events[event.kind].append(event)
        if event.kind == "spike":
            self._take_back(whole(event.fields.get("rewind_to"), event.step))
        self.state = _STATES.get(event.kind, self.state)
        self.last_time_s = event.time_s

    def _add_step(self, event: Event) -> None:
        if self._steps and self._steps[-1] >= event.step:
            self._take_back(event.step - 1)
        for kind in ("eval", "sample", "checkpoint"):
            self._drop_events(kind, event.step - 1)
        self._steps.append(event.step)
        for name, column in self._figures.items():
            column.append(number(event.fields.get(name)))

    def _take_back(self, step: int) -> None:
        """Forget what came after a step that the run went back to."""
        keep = bisect_right(self._steps, step)
        del self._steps[keep:]
        for column in self._figures.values():
            del column[keep:]
        for kind in _TIMELINE:
            self._drop_events(kind, step)

    def _drop_events(self, kind: str, after: int) -> None:
        events = self._events[kind]
        while events and events[-1].step > after:
            events.pop()

    @property
    def step(self) -> int:
        """Steps done so far."""
        return self._steps[-1] if self._steps else (self.start.step if self.start else 0)

    @property
    def steps(self) -> np.ndarray:
        """The steps that there are figures of, rising."""
        return np.array(self._steps, np.int64)

    def events(self, kind: str) -> list[Event]:
        """The events of a kind: ``eval``, ``sample``, ``checkpoint``, ``spike`` and the like; steps have columns."""
        return self._events[kind]

    def figures(self, name: str) -> np.ndarray:
        """One figure of each step, as f64; not a number where the log lacks it."""
        return np.array(self._figures[name], np.float64)

    def last(self, name: str) -> float | None:
        """A figure of the last step, or None where the log lacks it."""
        column = self._figures[name]
        return column[-1] if column and math.isfinite(column[-1]) else None

    def axis(self, name: str) -> np.ndarray:
        """How far the run was after each step: in steps, tokens, seconds of steps (not of pauses) or FLOPs."""
        steps = self.steps.astype(np.float64)
        if name == "step" or not len(steps):
            return steps
        tokens = self.figures("tokens")
        per_step = self._tokens_per_step(steps, tokens)
        tokens = np.where(np.isfinite(tokens), tokens, steps * per_step)
        if name == "tokens":
            return tokens
        added = np.maximum(np.diff(tokens, prepend=tokens[0] - per_step), 0.0)
        rate = _filled(self.figures("tokens_per_s"))
        if name == "time":
            return np.cumsum(np.divide(added, rate, out=np.zeros_like(added), where=rate > 0))
        flops = np.divide(self.figures("flops_per_s"), rate, out=np.zeros_like(added), where=rate > 0)
        return np.cumsum(added * _filled(flops))

    def _tokens_per_step(self, steps: np.ndarray, tokens: np.ndarray) -> float:
        told = number(self.start.fields.get("tokens_per_step")) if self.start else math.nan
        if math.isfinite(told):
            return told
        rates = np.divide(tokens, steps, out=np.full_like(tokens, np.nan), where=steps > 0)
        return _median(rates)

    def held_out(self) -> dict[str, list[tuple[int, float]]]:
        """Bits per byte of held-out text by source: (step, value) of each evaluation; ``all`` comes first."""
        found = self._evaluated("bits_per_byte")
        return {name: found[name] for name in sorted(found, key=lambda name: (name != "all", name))}

    def held_out_items(self) -> dict[str, list[tuple[int, float]]]:
        """What a run of tuning scored on held-out conversations, pairs or prompts: (step, value) by name, as told."""
        return self._evaluated("held_out")

    def _evaluated(self, field: str) -> dict[str, list[tuple[int, float]]]:
        found: dict[str, list[tuple[int, float]]] = {}
        for event in self._events["eval"]:
            scores = event.fields.get(field)
            for name, value in scores.items() if isinstance(scores, dict) else ():
                if math.isfinite(number(value)):
                    found.setdefault(name, []).append((event.step, number(value)))
        return found

    def intervals(self) -> dict[str, tuple[float, float]]:
        """The 95 % intervals of bits per byte at the last evaluation, of sources with two documents or more."""
        told = self._events["eval"][-1].fields.get("intervals") if self._events["eval"] else None
        found = {}
        for name, ends in told.items() if isinstance(told, dict) else ():
            low, high = map(number, ends) if isinstance(ends, list) and len(ends) == 2 else (math.nan, math.nan)
            if math.isfinite(low) and math.isfinite(high):
                found[name] = (low, high)
        return found

    def stages(self) -> list[StageSpan]:
        """The stages: as they were planned, or as they came where the log has no plan of them."""
        planned = self.start.fields.get("stages") if self.start else None
        spans = [_planned(stage) for stage in planned if isinstance(stage, dict)] if isinstance(planned, list) else []
        if spans:
            return spans
        told = self._events["stage"]
        ends = [*(event.step for event in told[1:]), self.step]
        return [_span(e.fields, e.step, max(end, e.step)) for e, end in zip(told, ends, strict=False)]

    def stage_at(self, step: int) -> StageSpan | None:
        """The stage that a step, counted from 1, belongs to."""
        spans = self.stages()
        index = bisect_left([span.first_step for span in spans], step) - 1
        return spans[max(index, 0)] if spans else None


def number(value: object) -> float:
    """A figure from the log; not a number where it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def whole(value: object, otherwise: int) -> int:
    """A whole number from the log, or another where it is none."""
    return value if type(value) is int else otherwise


def _planned(stage: Mapping[str, Any]) -> StageSpan:
    first = whole(stage.get("first_step"), 0)
    return _span(stage, first, first + max(0, whole(stage.get("num_steps"), 0)))


def _span(stage: Mapping[str, Any], first_step: int, last_step: int) -> StageSpan:
    mixture = stage.get("mixture")
    weights = {
        str(name): number(weight)
        for name, weight in (mixture.items() if isinstance(mixture, dict) else ())
        if math.isfinite(number(weight)) and number(weight) >= 0
    }
    rope_theta = number(stage.get("rope_theta"))
    return StageSpan(
        name=str(stage.get("name", "stage")),
        first_step=first_step,
        last_step=last_step,
        context=whole(stage.get("context"), 0) or None,
        rope_theta=rope_theta if math.isfinite(rope_theta) else None,
        mixture=weights,
    )


def _filled(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, _median(values))


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else 0.0
