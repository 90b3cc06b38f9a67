"""A line of JSON on standard error for each request: who, what, how long; never what was said, unless asked for."""

from __future__ import annotations

import datetime
import select
import time
from typing import TextIO

import msgspec

from textmill.serve.exchange import Exchange


class AccessLog:
    """Writes lines. One that would have to wait for whoever reads them is lost, and the next one tells so."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self._num_lost = 0
        self._poll = select.poll() if file is not None and hasattr(select, "poll") and _has_number(file) else None
        if self._poll is not None and file is not None:
            self._poll.register(file.fileno(), select.POLLOUT)

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
        if self._poll is not None and not self._poll.poll(0):
            self._num_lost += 1
            return
        now = datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="milliseconds")
        lost = {"lines_lost": self._num_lost} if self._num_lost else {}
        line = msgspec.json.encode({"time": now, "event": name, **facts, **lost}, enc_hook=str)
        self._num_lost = 0
        try:
            self._file.write(line.decode(errors="replace") + "\n")
            self._file.flush()
        except (OSError, ValueError):  # a closed pipe, a full disk: no reason to answer nobody any more
            self._file = None


def _has_number(file: TextIO) -> bool:
    """Whether the system knows a file."""
    try:
        return file.fileno() >= 0
    except (OSError, ValueError):
        return False
