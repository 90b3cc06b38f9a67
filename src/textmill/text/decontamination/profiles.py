"""The published ways to decontaminate, as tables of settings that can be changed one by one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from textmill.base.errors import ConfigError, did_you_mean

Measure = Literal["subsequence", "blocks", "ngram", "whole", "containment"]
Part = Literal["question", "answer", "paragraphs"]
_RATIO_MEASURES = ("subsequence", "blocks", "containment")
_MAX_NGRAM = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How an item is looked for, and how much of it makes a document contaminated.

    Attributes:
        name: the profile's.
        ngram: words in a row that item and document must share before they are compared.
        measure: how they are compared, in the stretch of the document where the item would stand and half of the
            item's length on either side. ``subsequence``: words of the longest common subsequence / words of the item.
            ``blocks``: characters in matching blocks of more than 5 (as difflib finds them) / characters of the item.
            ``containment``: distinct n-grams found / those of the item. ``whole``: all words in a row. ``ngram``: the
            shared n-gram is enough.
        min_ratio: what the ratio must reach (``blocks``: exceed).
        min_words: items with fewer words are not looked for. Those with more, yet shorter than an n-gram, are found
            where all of their words stand in a row.
        part: of an item: its question; its answer, with the n-grams that lead from the question into it; or the
            paragraphs of both that have an n-gram.
    """

    name: str
    ngram: int
    measure: Measure
    min_ratio: float
    min_words: int
    part: Part

    def __post_init__(self) -> None:
        for key in ("ngram", "min_words"):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MAX_NGRAM:
                raise ConfigError(f"{key} is {value!r}, and must be a whole number from 1 to {_MAX_NGRAM}")
        if not isinstance(self.min_ratio, int | float) or not 0 < self.min_ratio <= 1:
            raise ConfigError(f"min_ratio is {self.min_ratio!r}, and must be above 0 and at most 1, as in 0.6")
        if self.measure == "blocks" and self.min_ratio == 1:
            raise ConfigError("min_ratio is 1, which the measure blocks never exceeds: use 0.99, or the profile dolma")

    @property
    def has_ratio(self) -> bool:
        """Whether ``min_ratio`` decides anything."""
        return self.measure in _RATIO_MEASURES

    @classmethod
    def named(cls, name: str, **overrides: Any) -> Profile:
        """Take a published profile, with settings changed.

        Args:
            name: one of ``PROFILES``.
            overrides: ``ngram``, ``min_ratio``, ``min_words``; None leaves a setting as it is.

        Raises:
            ConfigError: there is none of that name, no such setting, or its value is out of range.
        """
        if name not in PROFILES:
            raise ConfigError(
                f'there is no decontamination profile "{name}" (there are {", ".join(PROFILES)})'
                + did_you_mean(name, PROFILES)
            )
        changes = {key: value for key, value in overrides.items() if value is not None}
        known = ("ngram", "min_ratio", "min_words")
        for key in changes:
            if key not in known:
                raise ConfigError(f'a profile has no setting "{key}"' + did_you_mean(key, known))
        profile = PROFILES[name]
        if "min_ratio" in changes and not profile.has_ratio:
            raise ConfigError(f"the profile {name} has no min_ratio: it asks for {_ASKS_FOR[profile.measure]}")
        return dataclasses.replace(profile, **changes)


_ASKS_FOR = {"ngram": "a shared n-gram, and no more", "whole": "whole paragraphs"}

PROFILES = {
    # SmolLM2's FineMath, after Qwen2.5-Math: arXiv:2502.02737 §3.3.1
    "finemath": Profile(name="finemath", ngram=13, measure="subsequence", min_ratio=0.6, min_words=8, part="question"),
    # huggingface/cosmopedia, decontamination/decontaminate.py
    "cosmopedia": Profile(name="cosmopedia", ngram=10, measure="blocks", min_ratio=0.5, min_words=8, part="question"),
    # datatrove 0.10, NGramsDecontConfig
    "datatrove": Profile(name="datatrove", ngram=12, measure="ngram", min_ratio=1.0, min_words=8, part="answer"),
    # dolma 1.6, paragraphs of 13 words
    "dolma": Profile(name="dolma", ngram=13, measure="whole", min_ratio=1.0, min_words=8, part="paragraphs"),
    # Ours, for questions too short for the others
    "bigram": Profile(name="bigram", ngram=2, measure="containment", min_ratio=0.8, min_words=4, part="question"),
}
"""By name: ``finemath`` (the default everywhere), ``cosmopedia``, ``datatrove``, ``dolma``, ``bigram``."""
