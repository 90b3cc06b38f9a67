"""One line a run: where each stands, read from the ends of its log, so that long logs cost nothing."""

from __future__ import annotations

import math
import mmap
import time
from dataclasses import dataclass
from pathlib import Path

from textmill.base.events import Event, parse_event
from textmill.train.run_history import number, whole
from textmill.train.run_record import EVENTS, RunRecord, list_runs, read_config

_COURSE = ("start", "resume", "step", "stop", "end")
_STATES = {"stop": "stopped", "end": "finished"}
# A step, an evaluation or a save may take this long before a run that tells nothing counts as dead.
_SILENCE_S = 120.0
_SILENT_STEPS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class RunLine:
    """Where a run stands.

    Attributes:
        state: ``preparing``, ``running``, ``stopped``, ``finished``, or ``failed``: it ended without a word.
        bits_per_byte: of all held-out text when it was last evaluated.
        loss: of the last step, in nats a token.
        tokens: seen so far.
        last_time_s: when something happened last, in seconds since the epoch.
    """

    name: str
    folder: Path
    state: str
    step: int
    num_steps: int | None
    bits_per_byte: float | None
    loss: float | None
    tokens: int | None
    tokens_per_s: float | None
    num_parameters: int | None
    last_time_s: float


def summarise_runs(folder: Path, now_s: float | None = None) -> list[RunLine]:
    """Say where each run of a folder stands, the latest first."""
    now_s = time.time() if now_s is None else now_s
    lines = [summarise(path, now_s) for path in list_runs(folder)]
    return sorted(lines, key=lambda line: (-line.last_time_s, line.name))


def summarise(folder: Path, now_s: float) -> RunLine:
    """Say where one run stands."""
    path = folder / EVENTS
    found = _since_start(last_events(path, (*_COURSE, "eval")))
    step = _fields(found, "step")
    plan = read_config(folder).get("plan")
    known = (plan if isinstance(plan, dict) else {}) | _fields(found, "start")
    course = [event for kind, event in found.items() if kind in _COURSE]
    done = course[-1].step if course else 0
    tokens = _known(step.get("tokens"))
    last_time_s = max((event.time_s for event in found.values()), default=path.stat().st_mtime)
    return RunLine(
        name=folder.resolve().name,
        folder=folder,
        state=_state(course, step, now_s - last_time_s),
        step=done,
        num_steps=whole(known.get("num_steps"), 0) or None,
        bits_per_byte=_bits(found, done),
        loss=_known(step.get("loss")),
        tokens=None if tokens is None else int(tokens),
        tokens_per_s=_known(step.get("tokens_per_s")),
        num_parameters=whole(known.get("num_parameters"), 0) or None,
        last_time_s=last_time_s,
    )


def state_of(run: RunRecord, now_s: float) -> str:
    """The state of a run that was read whole, by the same rules."""
    history = run.history
    if history.state != "running" or history.last_time_s is None:
        return history.state
    fields = {"tokens_per_s": history.last("tokens_per_s"), "tokens": history.last("tokens")}
    return "failed" if now_s - history.last_time_s > _silence_s(fields, history.step) else "running"


def last_events(path: Path, kinds: tuple[str, ...]) -> dict[str, Event]:
    """Find the last whole event of each kind, in the order in which they stand in the log."""
    if path.stat().st_size == 0:
        return {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as log:
        places = [place for kind in kinds if (place := _last(log, kind)) is not None]
    return {event.kind: event for _, event in sorted(places, key=lambda place: place[0])}


def _last(log: mmap.mmap, kind: str) -> tuple[int, Event] | None:
    # As ``EventLog`` writes it; inside a text of the log the quotes would be escaped.
    end, wanted = len(log), f'"kind": "{kind}"'.encode()
    while (place := log.rfind(wanted, 0, end)) >= 0:
        start = log.rfind(b"\n", 0, place) + 1
        stop = log.find(b"\n", place)
        event = parse_event(log[start : stop if stop >= 0 else len(log)])
        if event is not None and event.kind == kind:
            return start, event
        end = start
    return None


def _since_start(found: dict[str, Event]) -> dict[str, Event]:
    """Leave out what a run did before it was started afresh."""
    kinds = list(found)
    return {kind: found[kind] for kind in kinds[kinds.index("start") :]} if "start" in found else found


def _fields(found: dict[str, Event], kind: str) -> dict[str, object]:
    return found[kind].fields if kind in found else {}


def _state(course: list[Event], step: dict[str, object], silence_s: float) -> str:
    if not course:
        return "preparing"
    last = course[-1]
    if last.kind in _STATES:
        return _STATES[last.kind]
    return "failed" if silence_s > _silence_s(step, last.step) else "running"


def _silence_s(step: dict[str, object] | dict[str, float | None], done: int) -> float:
    rate, tokens = number(step.get("tokens_per_s")), number(step.get("tokens"))
    step_s = tokens / max(done, 1) / rate if rate > 0 and tokens > 0 else 0.0
    return max(_SILENCE_S, _SILENT_STEPS * step_s)


def _bits(found: dict[str, Event], done: int) -> float | None:
    event = found.get("eval")
    if event is None or event.step > done:  # of a course that was taken back
        return None
    scores = event.fields.get("bits_per_byte")
    return _known(scores.get("all")) if isinstance(scores, dict) else None


def _known(value: object) -> float | None:
    figure = number(value)
    return figure if math.isfinite(figure) else None
