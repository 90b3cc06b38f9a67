"""Events for TensorBoard, in the run's folder: ``tensorboard --logdir runs`` shows them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textmill.base.events import Event
from textmill.train.adapters.figures import figures_of, sample_of
from textmill.train.adapters.tools import import_tool

FOLDER = "tensorboard"


class TensorBoardAdapter:
    """Writes figures as scalars and samples as text; the figures of an event are one record."""

    def __init__(self, run_folder: Path, config: Mapping[str, Any]) -> None:
        self._summary = import_tool("tensorboard.compat.proto.summary_pb2", "tensorboard").Summary
        torch_side = import_tool("torch.utils.tensorboard", "tensorboard")
        self._text = torch_side.summary.text
        self._writer = torch_side.FileWriter(str(run_folder / FOLDER))
        self._writer.add_summary(self._text("config", _as_code(json.dumps(config, indent=2))), 0)

    def __call__(self, event: Event) -> None:
        """Write an event. Steps that a rewind takes back are written again, and shown as TensorBoard does."""
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in figures_of(event).items()]
        if values:
            self._writer.add_summary(self._summary(value=values), event.step, event.time_s)
        sample = sample_of(event)
        if sample is not None:
            self._writer.add_summary(self._text("sample", _as_code(sample)), event.step, event.time_s)

    def close(self) -> None:
        """Write what is not on the disk yet."""
        self._writer.close()


def _as_code(text: str) -> str:
    """Text of a model as Markdown that shows it and does nothing else: each line is set in."""
    return "\n".join(f"    {line}" for line in text.splitlines())
