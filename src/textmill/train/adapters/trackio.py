"""Events for trackio, which keeps them on this machine: ``trackio show`` opens them in a browser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textmill.base.events import Event
from textmill.train.adapters.figures import logged_of
from textmill.train.adapters.tools import PROJECT, import_tool, run_id


class TrackioAdapter:
    """Logs figures by step; a run that is resumed goes on under its name."""

    def __init__(self, run_folder: Path, config: Mapping[str, Any]) -> None:
        trackio = import_tool("trackio")
        self._run = trackio.init(
            project=PROJECT,
            name=run_id(run_folder),
            config=dict(config),
            resume="allow",
            embed=False,
            auto_log_gpu=False,
        )

    def __call__(self, event: Event) -> None:
        """Log an event's figures in one call; samples are kept as text."""
        if logged := logged_of(event):
            self._run.log(logged, step=event.step)

    def close(self) -> None:
        """Hand over what is left."""
        self._run.finish()
