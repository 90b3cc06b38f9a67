"""Events for Weights & Biases. Its own variables (``WANDB_MODE``, ``WANDB_PROJECT`` and the like) say where they go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textmill.base.events import Event
from textmill.train.adapters.figures import logged_of
from textmill.train.adapters.tools import PROJECT, import_tool, run_id


class WandbAdapter:
    """Logs figures over a step of our own: its own may not go back, and a rewind does."""

    def __init__(self, run_folder: Path, config: Mapping[str, Any]) -> None:
        wandb = import_tool("wandb")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run_folder.resolve().name,
            id=os.environ.get("WANDB_RUN_ID") or run_id(run_folder),
            dir=str(run_folder),
            config=dict(config),
            resume="allow",
        )
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def __call__(self, event: Event) -> None:
        """Log an event's figures in one call; samples are kept as text."""
        if logged := logged_of(event):
            self._run.log(logged | {"step": event.step})

    def close(self) -> None:
        """Hand over what is left."""
        self._run.finish()
