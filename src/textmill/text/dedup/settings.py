"""What counts as a duplicate, and which document of several stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textmill.base.errors import ConfigError

KeepRule = Literal["score", "longest", "first"]
_MAX_PERMUTATIONS = 1 << 16
_MAX_NGRAM = 1 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class MinHashSettings:
    """Near duplicates: two texts are candidates with probability 1 - (1 - s^rows)^bands, s their Jaccard index.

    Attributes:
        bands, rows: of the signature, FineWeb's (arXiv:2406.17557, appendix E.1).
        ngram: words in a shingle.
        min_jaccard: what the shingle sets of two candidates must have in common to be duplicates.
        seed: chooses the permutations.
        max_leaders: documents of a group that share a band's key and are like none before them, with which the others
            of the group are compared; a group of many unlike ones is made of the same boilerplate.

    Raises:
        ConfigError: a number is out of its range.
    """

    bands: int = 14
    rows: int = 8
    ngram: int = 5
    min_jaccard: float = 0.75
    seed: int = 1
    max_leaders: int = 32

    def __post_init__(self) -> None:
        if self.bands < 1 or self.rows < 1 or self.bands * self.rows > _MAX_PERMUTATIONS:
            raise ConfigError(
                f"MinHash with {self.bands} bands of {self.rows} rows: both must be 1 or more, and their product "
                f"{_MAX_PERMUTATIONS} or less; FineWeb's are 14 and 8"
            )
        if not 1 <= self.ngram <= _MAX_NGRAM:
            raise ConfigError(f"ngram is {self.ngram}, and must be 1 to {_MAX_NGRAM} words; 5 is usual")
        if not 0 < self.min_jaccard <= 1:
            raise ConfigError(f"min_jaccard is {self.min_jaccard:g}, and must be above 0 and at most 1, as in 0.75")
        if not 0 <= self.seed < 1 << 64:
            raise ConfigError(f"seed is {self.seed}, and must be 0 or more and below 2^64")
        if self.max_leaders < 1:
            raise ConfigError(f"max_leaders is {self.max_leaders}, and must be 1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class DedupSettings:
    """What is looked for, and what stays.

    Attributes:
        exact: whether copies of the same bytes are dropped.
        minhash: how near duplicates are found; None: they are not.
        scope: whether duplicates count within each source alone, or across all of them.
        keep: the document of a cluster that stays: the best by the first rule, among equals by the next one; the first
            in the order of the units decides in the end.
    """

    exact: bool = True
    minhash: MinHashSettings | None = None
    scope: Literal["all", "source"] = "all"
    keep: tuple[KeepRule, ...] = ("score", "longest", "first")
