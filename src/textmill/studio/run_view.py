"""A run for the page: what there is to say of it, its curves as a chart can draw them, and what came since."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from textmill.base.errors import ConfigError
from textmill.base.events import Event, parse_event
from textmill.studio.packed import figures
from textmill.train.run_compare import compare_runs
from textmill.train.run_facts import describe_run, documents_of, told
from textmill.train.run_history import AXES, FIGURES, INCIDENTS, History, number, whole
from textmill.train.run_list import RunLine
from textmill.train.run_record import EVENTS, RunRecord, read_config

POINTS = 2000
POINTS_MAX = 200_000
_POINTS_MIN = 10
# So much of a log is read at once: events of many hours, in a fraction of a second.
_READ_BYTES = 8 << 20
TIMELINE = ("eval", "sample", "checkpoint", "stage")


class WatchedRun:
    """A run that is read as it grows: each line once, and a line that is still being written not before it is whole.

    Attributes:
        history: what the events came to so far.
        offset: bytes of the log that were read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.history = History()
        self.offset = 0
        self._file_id: tuple[int, int] | None = None

    def read(self) -> None:
        """Take in what has come."""
        while self._read_some():
            pass

    def _read_some(self) -> bool:
        with (self.folder / EVENTS).open("rb") as file:
            status = os.fstat(file.fileno())
            file_id = status.st_dev, status.st_ino
            if file_id != self._file_id or status.st_size < self.offset:  # another log stands in its place
                self.history, self.offset, self._file_id = History(), 0, file_id
            file.seek(self.offset)
            events, num_bytes = whole_events(file.read(_READ_BYTES))
        for event in events:
            self.history.add(event)
        self.offset += num_bytes
        return num_bytes > 0

    @property
    def record(self) -> RunRecord:
        """The run with its configuration, as it is now."""
        return RunRecord(self.folder, read_config(self.folder), self.history)


def whole_events(data: bytes) -> tuple[list[Event], int]:
    """The events of whole lines, and how many bytes those are; a line that is whole and no event is passed over."""
    end = data.rfind(b"\n") + 1
    events = (parse_event(line) for line in data[:end].splitlines())
    return [event for event in events if event is not None], end


def told_line(line: RunLine) -> dict[str, Any]:
    """A run in a line."""
    return {name: value for name, value in dataclasses.asdict(line).items() if name != "folder"}


def told_run(watched: WatchedRun, now_s: float | None = None) -> dict[str, Any]:
    """All there is to say of a run, but for its curves."""
    run, history = watched.record, watched.history
    facts = describe_run(run, time.time() if now_s is None else now_s)
    table = {
        name: getattr(facts, name)
        for name in (
            *("name", "state", "step", "num_steps", "num_parameters", "precision", "tokens", "tokens_per_step"),
            *("tokens_per_s", "mfu", "memory_bytes", "loss", "steps_s", "num_resumes", "branch", "last_time_s"),
        )
    }
    return table | {
        "offset": watched.offset,
        "figures": [name for name in FIGURES if np.isfinite(history.figures(name)).any()],
        "stages": [dataclasses.asdict(stage) for stage in facts.stages],
        "scores": [dataclasses.asdict(score) for score in facts.scores],
        "held_out": {
            source: {"step": [step for step, _ in points], "value": [value for _, value in points]}
            for source, points in history.held_out().items()
        },
        "checkpoints": [{"step": saved.step, "num_bytes": saved.num_bytes} for saved in facts.checkpoints],
        "incidents": [told_incident(event) for event in facts.incidents],
        "samples": [_sample(event) for event in facts.samples],
        "config": run.config,
    }


def told_incident(event: Event) -> dict[str, Any]:
    """What went wrong, in a sentence, and where it led."""
    return {
        "kind": event.kind,
        "step": event.step,
        "time_s": event.time_s,
        "text": told(event),
        "back_to": event.fields.get("rewind_to") if event.kind == "spike" else None,
        "skipped": event.fields.get("skipped") or [],
        "documents": documents_of(event),
    }


def _sample(event: Event) -> dict[str, Any]:
    fields = event.fields
    return {"step": event.step, "prompt": str(fields.get("prompt", "")), "text": str(fields.get("text", ""))}


def series(
    history: History,
    names: list[str],
    *,
    x: str = "step",
    begin: float | None = None,
    end: float | None = None,
    points: int = POINTS,
) -> dict[str, Any]:
    """Figures of the steps in a range, no more than a chart can draw.

    Where there are more steps than ``points``, as many neighbours as it takes stand together: the mean of their
    figures, and the lowest and the highest, so that no spike is lost.

    Raises:
        ConfigError: for an axis or a figure that there is not, or a number of points out of range.
    """
    if x not in AXES:
        raise ConfigError(f'x is "{x}", and may be {", ".join(AXES)}')
    unknown = [name for name in names if name not in FIGURES]
    if unknown or not names:
        what = f'figure is "{unknown[0]}"' if unknown else "no figure is named"
        raise ConfigError(f"{what}; figures are {', '.join(FIGURES)}")
    if not _POINTS_MIN <= points <= POINTS_MAX:
        raise ConfigError(f"points is {points:,}, and must be {_POINTS_MIN} to {POINTS_MAX:,}")
    steps, axis = history.steps, history.axis(x)
    begin = float(axis[0]) if begin is None and len(axis) else begin or 0.0
    end = float(axis[-1]) if end is None and len(axis) else end or 0.0
    inside = slice(int(np.searchsorted(axis, begin, "left")), int(np.searchsorted(axis, end, "right")))
    steps, axis = steps[inside], axis[inside]
    width = max(1, -(-len(steps) // points))
    last = np.minimum(np.arange(width - 1, len(steps) + width - 1, width), len(steps) - 1)
    return {
        "x": x,
        "from": begin,
        "to": end,
        "num_steps": len(steps),
        "is_exact": width == 1,
        "num_per_point": width,
        "step": steps[last].tolist(),
        "at": axis[last].tolist(),
        "figures": {name: _decimated(history.figures(name)[inside], width) for name in names},
    }


def _decimated(values: np.ndarray, width: int) -> dict[str, list[float | None]]:
    if width == 1:
        return {"mean": figures(values)}
    padded = np.full(-(-len(values) // width) * width, np.nan)
    padded[: len(values)] = values
    rows = padded.reshape(-1, width)
    known = np.isfinite(rows)
    counts = known.sum(axis=1)
    sums = np.where(known, rows, 0.0).sum(axis=1)
    mean = np.divide(sums, counts, out=np.full(len(rows), np.nan), where=counts > 0)
    low = np.where(known, rows, np.inf).min(axis=1)
    high = np.where(known, rows, -np.inf).max(axis=1)
    return {"mean": figures(mean), "low": figures(low), "high": figures(high)}


class Tail:
    """What came in a run after a point of its log, for whoever has everything up to that point.

    Attributes:
        offset: bytes of the log that were told.
        step: the last step that whoever listens has.
    """

    def __init__(self, folder: Path, offset: int, step: int) -> None:
        self._folder = folder
        self.offset = offset
        self.step = step
        self.state = ""

    def read(self) -> dict[str, Any] | None:
        """What is new, and what of the old it takes back; None where nothing is."""
        with (self._folder / EVENTS).open("rb") as file:
            restarted = os.fstat(file.fileno()).st_size < self.offset
            if restarted:
                self.offset, self.step = 0, 0
            file.seek(self.offset)
            events, num_bytes = whole_events(file.read(_READ_BYTES))
        if not num_bytes and not restarted:
            return None
        self.offset += num_bytes
        return self._told(events, restarted=restarted)

    def read_or_nothing(self) -> dict[str, Any]:
        """What is new, without anything in it where nothing is."""
        return self.read() or self._told([], restarted=False)

    def _told(self, events: list[Event], *, restarted: bool) -> dict[str, Any]:
        had = self.step
        back_to = had
        fresh: list[Event] = []  # steps and what goes with them, without what later ones of these took back
        lasting: list[Event] = []
        for event in events:
            keep = _kept_until(event)
            if event.kind == "start":
                restarted, fresh, lasting, back_to, had = True, [], [], 0, 0
            elif keep is not None:
                while fresh and fresh[-1].step > keep:
                    fresh.pop()
                back_to = min(back_to, keep)
            if event.kind == "step" or event.kind in TIMELINE:
                fresh.append(event)
            elif event.kind in INCIDENTS:
                lasting.append(event)
            if event.kind == "step":
                self.step = event.step
            elif keep is not None:
                self.step = min(self.step, keep)
            self.state = _STATES.get(event.kind, self.state)
        steps = [event for event in fresh if event.kind == "step"]
        told_events = [event for event in (*fresh, *lasting) if event.kind != "step"]
        return {
            "offset": self.offset,
            "restarted": restarted,
            "back_to": back_to if back_to < had and not restarted else None,
            "state": self.state,
            "steps": {"step": [event.step for event in steps]}
            | {name: figures(np.array([number(event.fields.get(name)) for event in steps])) for name in FIGURES},
            "events": [_told_event(event) for event in sorted(told_events, key=lambda event: event.time_s)],
        }


_STATES = {"start": "running", "resume": "running", "step": "running", "stop": "stopped", "end": "finished"}


def _kept_until(event: Event) -> int | None:
    """The last step that an event leaves standing, where it takes any back (as ``History`` has it)."""
    if event.kind == "resume":
        return event.step
    if event.kind == "spike":
        return whole(event.fields.get("rewind_to"), event.step)
    return event.step - 1 if event.kind == "step" else None


def _told_event(event: Event) -> dict[str, Any]:
    if event.kind in INCIDENTS:
        return told_incident(event)
    return {"kind": event.kind, "step": event.step, "time_s": event.time_s, **event.fields}


def compared(runs: list[RunRecord], names: list[str]) -> dict[str, Any]:
    """Runs beside each other, by the names that the studio has for them."""
    comparison = compare_runs(runs)
    table = dataclasses.asdict(comparison)
    by_name = dict(zip(comparison.names, names, strict=True))
    for rows in table["scores"].values():
        for row in rows:
            row["run"] = by_name[row["run"]]
    return table | {"names": names}
