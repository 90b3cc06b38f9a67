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
        # Taken by itself and not through its condition: no interruption falls into the methods of a lock, which are C.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._owner: int | None = None

    def take(self, unless: Callable[[], bool]) -> bool:
        """Wait for the turn, or until ``unless()`` holds when a turn ends; True with the turn.

        A turn that this thread has already is one that it was interrupted in before it could give it back.
        """
        me = threading.get_ident()
        with self._lock:
            while not unless():
                if self._owner is None or self._owner == me:
                    self._owner = me
                    return True
                self._changed.wait()
            return False

    def try_take(self) -> bool:
        """Take the turn unless another thread has it."""
        with self._lock:
            if self._owner is None:
                self._owner = threading.get_ident()
            return self.is_mine()

    def is_mine(self) -> bool:
        """Whether this thread has the turn."""
        return self._owner == threading.get_ident()

    def give(self) -> None:
        """End the turn if it is this thread's, and let those look who wait.

        They are woken whoever has it: a thread that was interrupted before it woke them comes here again.
        """
        with self._lock:
            if self.is_mine():
                self._owner = None
            self._changed.notify_all()
