"""What happened in a run, one JSON object a line: ``{"v": 1, "t": ..., "step": ..., "kind": ..., ...}``.

Lines are only ever added. A reader takes a torn last line (the machine stopped while it was written) and kinds it does
not know as they come; after a resume a step may stand twice, and the later line counts.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.files import storage_errors

VERSION = 1


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log.

    Attributes:
        kind: what happened: ``start``, ``step``, ``eval``, ``checkpoint``, ``stop``, ``end`` ...
        step: number of optimizer steps done when it happened.
        time_s: seconds since the epoch.
        fields: everything else, by kind.
    """

    kind: str
    step: int
    time_s: float
    fields: dict[str, Any]


class EventLog:
    """Appends events to a file; each is handed to the operating system before ``write`` returns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _end_torn_line(path)
            self._file = path.open("a", encoding="utf-8")

    def write(self, kind: str, step: int, **fields: Any) -> Event:
        """Append an event and return it."""
        event = Event(kind, step, time.time(), fields)
        line = {"v": VERSION, "t": round(event.time_s, 3), "step": step, "kind": kind, **fields}
        with storage_errors(self._path):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        return event

    def close(self) -> None:
        """Close the log; every event was handed to the operating system when it was written."""
        self._file.close()


def read_events(path: Path) -> list[Event]:
    """Read a log from its start; a line that is not whole JSON is passed over."""
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and {"kind", "step", "t"} <= record.keys():
            record.pop("v", None)
            events.append(Event(record.pop("kind"), record.pop("step"), record.pop("t"), record))
    return events


def _end_torn_line(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
