"""What preparing data tells while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from textmill.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class KeptSource:
    """What stays of a source's text, before anything is held out.

    Attributes:
        num_documents: of those that were read, as many as stay.
        num_bytes: bytes of their text.
        num_duplicates: documents dropped since others have their text, or about the same.
    """

    num_documents: int
    num_bytes: int
    num_duplicates: int


class PrepareListener(Protocol):
    """Told of every stage; it watches and changes nothing."""

    def stage(self, name: str, total_bytes: int | None) -> None:
        """A stage begins, over so many bytes of input, where that is known."""

    def progress(self, done_bytes: int) -> None:
        """So many bytes of the stage are done."""

    def say(self, message: str) -> None:
        """A thing worth knowing."""

    def kept(self, sources: Mapping[str, KeptSource], sample: str) -> None:
        """It is known what stays; ``sample`` is the beginning of the text that comes first."""

    def tokenizer(self, tokenizer: Tokenizer) -> None:
        """The tokenizer is trained or loaded."""


class Silence:
    """Nobody listens."""

    def stage(self, name: str, total_bytes: int | None) -> None:
        """Do nothing."""

    def progress(self, done_bytes: int) -> None:
        """Do nothing."""

    def say(self, message: str) -> None:
        """Do nothing."""

    def kept(self, sources: Mapping[str, KeptSource], sample: str) -> None:
        """Do nothing."""

    def tokenizer(self, tokenizer: Tokenizer) -> None:
        """Do nothing."""
