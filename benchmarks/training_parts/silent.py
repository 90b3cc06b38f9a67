"""A listener of a run that hands events on and prints nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textmill.base.events import Event
from textmill.data.prepare_listener import KeptSource
from textmill.data.shards import ShardSet
from textmill.tokenizer.tokenizer import Tokenizer
from textmill.train.run import Run


class Silent:
    """Listens to a run for one function."""

    def __init__(self, observe: Callable[[Event], None]) -> None:
        self.event = observe

    def doing(self, what: str, total: int | None = None) -> None:
        """Pass over what begins."""

    def progress(self, done: int) -> None:
        """Pass over bytes that are done."""

    def say(self, message: str) -> None:
        """Pass over decisions."""

    def corpus(self, sources: Mapping[str, KeptSource], sample: str) -> None:
        """Pass over the text."""

    def tokenizer(self, tokenizer: Tokenizer) -> None:
        """Pass over the tokenizer."""

    def shards(self, train: dict[str, ShardSet], held_out: dict[str, ShardSet]) -> None:
        """Pass over shards."""

    def plan(self, run: Run) -> None:
        """Pass over the plan."""
