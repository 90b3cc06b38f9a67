"""All there is to say of one run, as plain data: what it is, where it stands, what it scored, what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from textmill.base.events import Event
from textmill.checkpoint.store import list_checkpoints
from textmill.train.run_history import INCIDENTS, History, StageSpan
from textmill.train.run_list import state_of
from textmill.train.run_record import RunRecord

TRAINING = "training"
_LAST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Score:
    """Bits per byte of a source: when it was last evaluated, with its 95 % interval over documents, and at its best."""

    source: str
    last: float
    last_step: int
    best: float
    best_step: int
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class SavedStep:
    """A checkpoint on the disk."""

    step: int
    folder: Path
    num_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What there is to say of a run.

    Attributes:
        state: as ``run_list.RunLine`` has it.
        loss: mean of the last 20 steps, in nats a token.
        steps_s: time that the steps took, pauses left out.
        scores: by source, ``all`` first, ``training`` (the mean of its last 20 steps) last.
        incidents: spikes, batches left out, halved micro-batches, saves that failed, as they were logged.
        samples: what it wrote, as it was logged.
    """

    name: str
    folder: Path
    state: str
    step: int
    num_steps: int | None
    num_parameters: int | None
    precision: str | None
    tokens: float | None
    tokens_per_step: int | None
    tokens_per_s: float | None
    mfu: float | None
    memory_bytes: float | None
    loss: float | None
    steps_s: float
    num_resumes: int
    branch: dict[str, Any] | None
    stages: list[StageSpan]
    scores: list[Score]
    checkpoints: list[SavedStep]
    incidents: list[Event]
    samples: list[Event]
    last_time_s: float | None


def describe_run(run: RunRecord, now_s: float) -> RunFacts:
    """Say all there is to say of a run."""
    history = run.history
    branch = history.start.fields.get("branch") if history.start else None
    steps_s = history.axis("time")
    return RunFacts(
        name=run.name,
        folder=run.folder,
        state=state_of(run, now_s),
        step=history.step,
        num_steps=run.num_steps,
        num_parameters=run.num_parameters,
        precision=run.known("precision"),
        tokens=history.last("tokens"),
        tokens_per_step=run.known("tokens_per_step"),
        tokens_per_s=middle(history.figures("tokens_per_s")),
        mfu=middle(history.figures("mfu")),
        memory_bytes=highest(history.figures("memory_bytes")),
        loss=recent(history.figures("loss")),
        steps_s=float(steps_s[-1]) if len(steps_s) else 0.0,
        num_resumes=history.num_resumes,
        branch=branch if isinstance(branch, dict) else None,
        stages=history.stages(),
        scores=scores_of(history),
        checkpoints=saved_steps(run.folder),
        incidents=incidents_of(history),
        samples=history.events("sample"),
        last_time_s=history.last_time_s,
    )


def scores_of(history: History) -> list[Score]:
    """Score each source, and the training text, by what was logged."""
    scores = []
    held_out, intervals = history.held_out(), history.intervals()
    last_step = max((points[-1][0] for points in held_out.values()), default=0)
    for source, points in held_out.items():
        best_step, best = min(points, key=lambda point: point[1])
        # The last evaluation has no interval of a source that it has not scored.
        interval = intervals.get(source) if points[-1][0] == last_step else None
        scores.append(Score(source, points[-1][1], points[-1][0], best, best_step, interval))
    training = running_mean(history.figures("bits_per_byte"))
    if np.any(np.isfinite(training)):
        best_index = int(np.nanargmin(training))
        last_index = int(np.flatnonzero(np.isfinite(training))[-1])
        steps = history.steps
        scores.append(
            Score(
                TRAINING,
                float(training[last_index]),
                int(steps[last_index]),
                float(training[best_index]),
                int(steps[best_index]),
            )
        )
    return scores


def running_mean(values: np.ndarray, window: int = _LAST_STEPS) -> np.ndarray:
    """The mean of each value and those before it, ``window`` in all; not a number where none of them is one."""
    known = np.isfinite(values)
    sums = np.cumsum(np.where(known, values, 0.0))
    counts = np.cumsum(known)
    sums[window:] -= sums[:-window].copy()
    counts[window:] -= counts[:-window].copy()
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def saved_steps(folder: Path) -> list[SavedStep]:
    """The checkpoints that a run's folder holds, with their sizes."""
    found = []
    for path in list_checkpoints(folder):
        sizes = [file.stat().st_size for file in path.iterdir() if file.is_file()]
        found.append(SavedStep(int(path.name.removeprefix("step-")), path, sum(sizes)))
    return found


def incidents_of(history: History) -> list[Event]:
    """What went wrong, in the order in which it did."""
    return sorted((event for kind in INCIDENTS for event in history.events(kind)), key=lambda event: event.time_s)


def recent(values: np.ndarray) -> float | None:
    """The mean of the last 20 values, or None where none of them is a number."""
    known = values[-_LAST_STEPS:][np.isfinite(values[-_LAST_STEPS:])]
    return float(known.mean()) if len(known) else None


def middle(values: np.ndarray) -> float | None:
    """The median, or None where no value is a number."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def highest(values: np.ndarray) -> float | None:
    """The highest value, or None where no value is a number."""
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else None


def told(incident: Event) -> str:
    """Say an incident in a sentence."""
    fields = incident.fields
    at = f"step {incident.step:,}: "
    if incident.kind == "spike":
        limits = "; ".join(
            f"{name.replace('_', ' ')} {_figure(fields.get(name))}, limit {_figure(fields.get(f'{name}_limit'))}"
            for name in ("loss", "grad_norm")
            if fields.get(name) is not None
        )
        back = fields.get("rewind_to")
        rewound = f"; back to step {back:,}" if isinstance(back, int) else ""
        return f"{at}spike ({limits}){rewound}{_skipped(fields.get('skipped'))}"
    if incident.kind == "discard":
        return f"{at}batch left out: {fields.get('reason', 'no reason was logged')}{_skipped(fields.get('skipped'))}"
    if incident.kind == "norms_rose":
        return (
            f"{at}the gradient's norm, {_figure(fields.get('grad_norm'))}, stays above its limit with other batches "
            "and a loss as before: from here on it is judged by those that come"
        )
    if incident.kind == "skip":
        return f"{at}as asked{_skipped(fields.get('skipped'))}"
    if incident.kind == "micro_rows":
        return f"{at}out of memory: {fields.get('old')} rows at once became {fields.get('new')}"
    return f"{at}a checkpoint could not be saved: {fields.get('error')}"


def documents_of(incident: Event) -> list[str]:
    """The documents that an incident's batches were made of."""
    documents = incident.fields.get("documents")
    return [str(name) for name in documents] if isinstance(documents, list) else []


def _skipped(ranges: object) -> str:
    if not isinstance(ranges, Sequence) or isinstance(ranges, str) or not ranges:
        return ""
    return f", skipped {', '.join(_batches(one) for one in ranges)}"


def _batches(one: object) -> str:
    """Name batches from the first to the last; the log has the first that is not among them."""
    if not isinstance(one, Sequence) or len(one) != 2 or not all(isinstance(number, int) for number in one):
        return str(one)
    first, last = one[0], one[1] - 1
    return f"batch {first}" if first == last else f"batches {first} to {last}"


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
