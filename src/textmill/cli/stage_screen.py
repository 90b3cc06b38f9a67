"""The stages of a pipeline on the screen: a bar each, with rate and time left, and a line of what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType

from textmill.base import units
from textmill.cli.output import Bar, Output
from textmill.data.prepare_listener import KeptSource
from textmill.tokenizer.tokenizer import Tokenizer


class StageScreen:
    """Shows what preparing data tells."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._stack = ExitStack()
        self._bar: Bar | None = None
        self._first: tuple[float, int] | None = None
        self._total_bytes: int | None = None

    def __enter__(self) -> StageScreen:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done()

    def stage(self, name: str, total_bytes: int | None) -> None:
        """Show a bar for the stage that begins."""
        self._done()
        self._bar = self._stack.enter_context(self._output.bar(name, total_bytes))
        self._total_bytes = total_bytes

    def progress(self, done_bytes: int) -> None:
        """Move the bar. The rate is that of this start: what an earlier one did is done at its first look."""
        now = time.monotonic()
        if self._bar is None:
            return
        if self._first is None:
            self._first = now, done_bytes
        since, before = self._first
        rate = (done_bytes - before) / (now - since) if now > since else 0.0
        note = f"{units.num_bytes(done_bytes)}, {units.num_bytes(rate)}/s" if rate else ""
        if rate and self._total_bytes and not self._bar.shows_time_left:
            note += f", {units.seconds(max(0, self._total_bytes - done_bytes) / rate)} left"
        self._bar.update(done_bytes, note)

    def say(self, message: str) -> None:
        """Show a message."""
        self._output.say(message)

    def kept(self, sources: Mapping[str, KeptSource], sample: str) -> None:
        """Show what stays of each source."""
        self._done()
        for name, source in sources.items():
            duplicates = _duplicates(source.num_duplicates) if source.num_duplicates else ""
            documents = f"{source.num_documents:,} {units.plural(source.num_documents, 'document')}"
            kept = f"{documents}, {units.num_bytes(source.num_bytes)}"
            self._output.say(f"{name}: {kept}{duplicates}")

    def tokenizer(self, tokenizer: Tokenizer) -> None:
        """Show the tokenizer's size."""
        self._done()
        self._output.say(f"tokenizer: {tokenizer.vocab_size:,} tokens, pattern {tokenizer.pattern}")

    def _done(self) -> None:
        self._bar, self._first = None, None
        self._stack.close()


def _duplicates(count: int) -> str:
    return f", {count:,} {units.plural(count, 'duplicate')} dropped"
