"""A line of JSON on standard error for each request: who, what, how long; never what was said, unless asked for."""

from __future__ import annotations

import datetime
import time
from typing import TextIO

import msgspec

from textmill.serve.exchange import Exchange


class AccessLog:
    """Writes lines; one that cannot be written is lost, and nothing else."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file

    def write(self, exchange: Exchange) -> None:
        """Tell of a request that is over."""
        self.event(
            "request",
            request_id=exchange.id,
            peer=exchange.peer,
            method=exchange.method,
            path=exchange.path,
            status=exchange.status,
            seconds=round(time.monotonic() - exchange.began, 4),
            **exchange.facts,
        )

    def event(self, name: str, **facts: object) -> None:
        """Tell of something else."""
        if self._file is None:
            return
        now = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="milliseconds")
        line = msgspec.json.encode({"time": now, "event": name, **facts}, enc_hook=str)
        try:
            self._file.write(line.decode(errors="replace") + "\n")
            self._file.flush()
        except (OSError, ValueError):  # a closed pipe, a full disk: no reason to answer nobody any more
            self._file = None
