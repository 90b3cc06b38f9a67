"""What happened in a run, one JSON object a line: ``{"v": 1, "t": ..., "step": ..., "kind": ..., ...}``.

Lines are only ever added. A reader takes a torn last line (the machine stopped while it was written) and kinds it does
not know as they come; after a resume a step may stand twice, and the later line counts.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textmill.base.files import storage_errors

VERSION = 1
_STEPS_MAX = 1 << 53
_TIME_MAX_S = 1e11


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
    """Read a log from its start; a line that is no whole event is passed over."""
    return list(iter_events(path))


def iter_events(path: Path) -> Iterator[Event]:
    """Read a log event by event, so that one of any length takes little memory."""
    with path.open("rb") as file:
        for line in file:
            event = parse_event(line)
            if event is not None:
                yield event


def recent_events(path: Path, max_bytes: int) -> list[Event]:
    """Read the events in the last ``max_bytes`` of a log; none where there is no log."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        begin = max(0, path.stat().st_size - max_bytes)
        file.seek(begin)
        lines = file.readlines()[1 if begin else 0 :]  # the first may be a part of one
    return [event for line in lines if (event := parse_event(line)) is not None]


def parse_event(line: bytes) -> Event | None:
    """Read one line, or return None where it is torn or no event."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    record.pop("v", None)
    kind, step, time_s = (record.pop(key, None) for key in ("kind", "step", "t"))
    if not isinstance(kind, str) or type(step) is not int or type(time_s) not in (int, float):
        return None
    return Event(kind, step, float(time_s), record) if 0 <= step < _STEPS_MAX and abs(time_s) < _TIME_MAX_S else None


def _end_torn_line(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.write(b"\n")
