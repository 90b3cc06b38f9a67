"""What of an event is a figure, and its name in other tools: ``train/loss``, ``held_out/code``, ``save/pause_s``."""

from __future__ import annotations

import math
from typing import Any

from textmill.base.events import Event

_GROUPS = {"step": "train", "checkpoint": "save"}


def figures_of(event: Event) -> dict[str, float]:
    """The figures of an event by their names, those left out that are no finite numbers."""
    if event.kind == "eval":
        scores = event.fields.get("bits_per_byte", event.fields.get("held_out"))
        named = {f"held_out/{name}": value for name, value in scores.items()} if isinstance(scores, dict) else {}
    elif event.kind in _GROUPS:
        named = {f"{_GROUPS[event.kind]}/{name}": value for name, value in event.fields.items()}
    elif event.kind in ("spike", "discard"):
        named = {f"train/{event.kind}": 1.0}
    else:
        named = {}
    return {name: float(value) for name, value in named.items() if _is_figure(value)}


def logged_of(event: Event) -> dict[str, Any]:
    """Figures of an event, and what the model wrote as ``sample``, for tools that take both in one call."""
    sample = sample_of(event)
    return dict(figures_of(event)) if sample is None else {"sample": sample}


def sample_of(event: Event) -> str | None:
    """What the model wrote, where the event is that."""
    if event.kind != "sample":
        return None
    return f"{event.fields.get('prompt', '')}{event.fields.get('text', '')}"


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
