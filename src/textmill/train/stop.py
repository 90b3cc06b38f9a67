"""Stopping on a signal: the step in hand is finished and saved first; a second signal stops at once.

Not where several processes train: what starts them passes on a signal that the system sent them as well, and ends those
that take too long by itself.
"""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

from textmill.base.errors import StoppedError

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


class StopRequest:
    """Notes SIGINT and SIGTERM while its ``with`` block runs, and gives the old handlers back after it.

    Args:
        second_stops_at_once: whether a signal that comes again raises ``StoppedError`` where it comes.
    """

    def __init__(self, *, second_stops_at_once: bool = True) -> None:
        self._second_stops_at_once = second_stops_at_once
        self._signal: signal.Signals | None = None
        self._old: dict[signal.Signals, object] = {}

    def __enter__(self) -> StopRequest:
        for number in EXIT_CODES:
            self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return self._signal is not None

    def note_elsewhere(self) -> None:
        """Take it that SIGTERM came to another process of the run."""
        self._signal = signal.SIGTERM

    def error(self, message: str) -> StoppedError:
        """Make the error that ends the run, with the exit code of the signal that came."""
        assert self._signal is not None
        return StoppedError(message, EXIT_CODES[self._signal])

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None and self._second_stops_at_once:
            raise StoppedError("stopped at once; what was saved before is whole", EXIT_CODES[signal.Signals(number)])
        self._signal = self._signal or signal.Signals(number)
