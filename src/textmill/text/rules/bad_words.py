"""Texts that have a word or phrase of a list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textmill import _core
from textmill.text.rules.judgement import Judgement
from textmill.text.rules.lists import read_list
from textmill.text.text_batch import TextBatch


@dataclass(frozen=True, slots=True, eq=False)
class BadWords:
    """Words and phrases in small letters: a text that has one between characters that are not ``\\w`` is dropped."""

    phrases: TextBatch
    rule_names: tuple[str, ...] = ("bad_words",)

    @classmethod
    def load(cls, path: Path) -> BadWords:
        """Read a list, a phrase a line; raises ``DataError`` where it cannot be read."""
        return cls(TextBatch.of(sorted({line.lower() for line in read_list(path)})))

    @property
    def bounds(self) -> dict[str, float]:
        """Nothing may be overridden."""
        return {}

    def overridden(self, bounds: dict[str, float]) -> BadWords:
        """Stay as it is."""
        return self

    def describe(self, number: int, value: float) -> str:
        """Say how a text fails."""
        return "it has a word of the list"

    def judge(self, texts: TextBatch, urls: TextBatch | None, threads: int) -> Judgement:
        """Find the texts that have a phrase."""
        lower = TextBatch.of([text.lower() for text in texts.texts()])
        phrases = self.phrases
        found = _core.has_phrase(lower.data, lower.offsets, phrases.data, phrases.offsets, threads)
        return Judgement.of_flags(found.astype(np.bool_), texts)
