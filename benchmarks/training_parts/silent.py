"""A listener of a run that hands events on and prints nothing."""

from __future__ import annotations

from collections.abc import Callable

from textmill.base.events import Event
from textmill.train.pipeline import Listener


class Silent(Listener):
    """Listens to a run for one function."""

    def __init__(self, observe: Callable[[Event], None]) -> None:
        self._observe = observe

    def event(self, event: Event) -> None:
        """Hand an event on."""
        self._observe(event)
