"""The tables and texts of a run's report: evaluations, stages, what went wrong, checkpoints, samples."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TypeVar

from textmill.base import units
from textmill.base.events import Event
from textmill.train.page import table
from textmill.train.run_facts import documents_of, incidents_of, told
from textmill.train.run_history import History, number

_T = TypeVar("_T")
_ROWS = 12
_INCIDENTS = 50
_SAMPLES = 20
_SAMPLE_CHARS = 4000
_DOCUMENTS = 100


def validation(history: History) -> str:
    """The finished model on all of its held-out text, beside compressors."""
    told_last = history.events("validation")
    scores = told_last[-1].fields.get("scores") if told_last else None
    rows = []
    for name, score in scores.items() if isinstance(scores, dict) else ():
        size = number(score.get("num_bytes")) if isinstance(score, dict) else 0.0
        if size > 0:
            bits = (number(score.get(key)) / size for key in ("model_bits", "gzip_bits", "xz_bits"))
            documents = number(score.get("num_documents"))
            rows.append([name, f"{documents:,.0f}", units.num_bytes(size), *(f"{value:.3f}" for value in bits)])
    if not rows:
        return ""
    return (
        "<h2>Held-out text, bits per byte</h2><p>Less is better. Text the model never saw; each document is scored, "
        "and compressed, by itself, so short ones carry a compressor's header each.</p>"
        + table(("source", "documents", "text", "this model", "gzip -9", "xz -9"), rows)
    )


def evaluations(history: History) -> str:
    """Bits per byte by source at the evaluations, or what tuning was scored by; as many as fit a table."""
    held_out = history.held_out()
    if not held_out:
        return _of_items(history.held_out_items())
    rows, left_out = _by_step(held_out)
    best = [min(points, key=lambda point: point[1]) for points in held_out.values()]
    rows.append(["best", *(f"{value:.3f} at {step:,}" for step, value in best)])
    intervals = history.intervals()
    if intervals:
        ends = (f"{low:.3f} to {high:.3f}" for low, high in (intervals.get(name, (0, 0)) for name in held_out))
        rows.append(
            ["last, 95 %", *(text if name in intervals else "" for name, text in zip(held_out, ends, strict=True))]
        )
    return (
        f"<h2>Evaluations</h2><p>Bits per byte of a sample of held-out text, the same each time.{left_out}</p>"
        + table(("step", *held_out), rows)
    )


def _of_items(scores: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """Scores of tuning on what was held out of it."""
    if not scores:
        return ""
    rows, left_out = _by_step(scores)
    names = [name.replace("_", " ") for name in scores]
    return f"<h2>Evaluations</h2><p>Of what is held out of tuning, the same each time.{left_out}</p>" + table(
        ("step", *names), rows
    )


def _by_step(scores: Mapping[str, Sequence[tuple[int, float]]]) -> tuple[list[list[str]], str]:
    """A row for each step, as many as fit a table, and how many there are where not all do."""
    by_step: dict[int, dict[str, float]] = {}
    for name, points in scores.items():
        for step, value in points:
            by_step.setdefault(step, {})[name] = value
    rows = [
        [f"{step:,}", *(f"{by_step[step][name]:.3f}" if name in by_step[step] else "" for name in scores)]
        for step in _spread(sorted(by_step))
    ]
    return rows, f" {_ROWS} of {len(by_step)} are shown." if len(by_step) > _ROWS else ""


def stages(history: History) -> str:
    """What each stage is."""
    spans = history.stages()
    if not spans:
        return ""
    rows = []
    for stage in spans:
        total = sum(stage.mixture.values()) or 1.0
        rows.append(
            [
                stage.name,
                ", ".join(f"{100 * weight / total:.3g} % {name}" for name, weight in stage.mixture.items()),
                f"{stage.first_step + 1:,} to {stage.last_step:,}",
                f"{stage.context:,}" if stage.context else "",
                f"{stage.rope_theta:,.0f}" if stage.rope_theta else "",
            ]
        )
    return "<h2>Stages</h2>" + table(("stage", "mixture", "steps", "context", "RoPE base"), rows, text_columns=2)


def incidents(history: History) -> str:
    """Spikes, batches left out, and what else went wrong, with the documents that were in the batches."""
    found = incidents_of(history)
    if not found:
        return ""
    items = []
    for one in found[-_INCIDENTS:]:
        documents = documents_of(one)
        names = "".join(f"<li>{html.escape(name)}</li>" for name in documents[:_DOCUMENTS])
        more = f"<li>and {len(documents) - _DOCUMENTS:,} more</li>" if len(documents) > _DOCUMENTS else ""
        listed = (
            f'<details><summary>{len(documents):,} documents</summary><ul class="plain">{names}{more}</ul></details>'
            if documents
            else ""
        )
        items.append(f"<li>{html.escape(told(one))}{listed}</li>")
    before = f"<p>The last {_INCIDENTS} of {len(found):,}.</p>" if len(found) > _INCIDENTS else ""
    return f'<h2>What went wrong</h2>{before}<ul class="plain">{"".join(items)}</ul>'


def checkpoints(history: History) -> str:
    """The saves: how large, and how long training paused for them."""
    saves = history.events("checkpoint")
    if not saves:
        return ""
    rows = [
        [
            f"{save.step:,}",
            _told(save, "num_bytes", units.num_bytes),
            _told(save, "pause_s", units.seconds),
            _told(save, "time_s", units.seconds),
        ]
        for save in _spread(saves)
    ]
    left_out = f"<p>{_ROWS} of {len(saves):,} are shown; a run keeps its last ones.</p>" if len(saves) > _ROWS else ""
    return f"<h2>Checkpoints</h2>{left_out}" + table(("step", "size", "pause", "time to save"), rows)


def samples(history: History) -> str:
    """What the model wrote, the latest first."""
    written = history.events("sample")[::-1]
    if not written:
        return ""
    blocks = []
    for place, sample in enumerate(_spread(written, _SAMPLES)):
        text = str(sample.fields.get("text", ""))
        cut = " …" if len(text) > _SAMPLE_CHARS else ""
        is_open = " open" if place == 0 else ""
        blocks.append(
            f"<details{is_open}><summary>step {sample.step:,}</summary><pre>"
            f"<b>{html.escape(str(sample.fields.get('prompt', '')))}</b>"
            f"{html.escape(text[:_SAMPLE_CHARS])}{cut}</pre></details>"
        )
    return f"<h2>What it writes</h2><p>The prompt is in bold.</p>{''.join(blocks)}"


def _told(event: Event, name: str, write: object) -> str:
    value = number(event.fields.get(name))
    return write(value) if callable(write) and value >= 0 else ""


def _spread(items: Sequence[_T], most: int = _ROWS) -> list[_T]:
    """As many items as fit, evenly, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(place * (len(items) - 1) / (most - 1))] for place in range(most)]
