"""Whose turn it is among threads that share one engine: whoever waits for an answer drives it for all."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Turn:
    """At most one thread has the turn.

    It is no lock around the work itself: an answer may be given up by the garbage collector of the thread that has the
    turn, and must not wait for it.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._owner: int | None = None

    def take(self, unless: Callable[[], bool]) -> bool:
        """Wait for the turn, or until ``unless()`` holds when a turn ends; True with the turn.

        A turn that this thread has already is one that it was interrupted in before it could give it back.
        """
        me = threading.get_ident()
        with self._changed:
            while not unless():
                if self._owner is None or self._owner == me:
                    self._owner = me
                    return True
                self._changed.wait()
            return False

    def try_take(self) -> bool:
        """Take the turn if nobody has it, this thread included."""
        with self._changed:
            if self._owner is not None:
                return False
            self._owner = threading.get_ident()
            return True

    def give(self) -> None:
        """End the turn, and let those look who wait."""
        with self._changed:
            self._owner = None
            self._changed.notify_all()
