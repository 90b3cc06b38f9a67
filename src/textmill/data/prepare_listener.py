"""What preparing data tells while it goes on."""

from __future__ import annotations

from typing import Protocol


class PrepareListener(Protocol):
    """Told of every stage; it watches and changes nothing."""

    def stage(self, name: str, total_bytes: int | None) -> None:
        """A stage begins, over so many bytes of input, where that is known."""

    def progress(self, done_bytes: int) -> None:
        """So many bytes of the stage are done."""

    def say(self, message: str) -> None:
        """A thing worth knowing."""


class Silence:
    """Nobody listens."""

    def stage(self, name: str, total_bytes: int | None) -> None:
        """Do nothing."""

    def progress(self, done_bytes: int) -> None:
        """Do nothing."""

    def say(self, message: str) -> None:
        """Do nothing."""
