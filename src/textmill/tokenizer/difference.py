"""What two tokenizers do differently, as data: settings, what texts cost, tokens of one alone, stretches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textmill.tokenizer.as_json import to_json


@dataclass(frozen=True, slots=True)
class Setting:
    """Something that is set otherwise in the two; ``a`` and ``b`` are what JSON can hold."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class Usage:
    """What a source costs in each.

    Attributes:
        source: the file; "" for texts of no file.
        num_texts, num_bytes: texts, and bytes of them.
        num_tokens_a, num_tokens_b: tokens that they become.
        num_agreed_bytes: bytes in tokens that both have at that place.
    """

    source: str
    num_texts: int
    num_bytes: int
    num_tokens_a: int
    num_tokens_b: int
    num_agreed_bytes: int

    @property
    def bytes_per_token_a(self) -> float:
        """Bytes per token of the first; 0 where there are none."""
        return self.num_bytes / self.num_tokens_a if self.num_tokens_a else 0.0

    @property
    def bytes_per_token_b(self) -> float:
        """Bytes per token of the second; 0 where there are none."""
        return self.num_bytes / self.num_tokens_b if self.num_tokens_b else 0.0

    @property
    def agreement(self) -> float:
        """The share of the bytes that both have in the same tokens; 1 where there is no text."""
        return self.num_agreed_bytes / self.num_bytes if self.num_bytes else 1.0


@dataclass(frozen=True, slots=True)
class OwnToken:
    """A token that only one of the two has: how often the texts use it, and what the other makes of its bytes."""

    id: int
    text: bytes
    count: int
    instead: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes that the two write in different tokens: how often, and the tokens of each."""

    text: bytes
    count: int
    a: tuple[bytes, ...]
    b: tuple[bytes, ...]

    @property
    def num_saved(self) -> int:
        """Tokens that the first saves against the second, in all; negative where it needs more."""
        return self.count * (len(self.b) - len(self.a))


@dataclass(frozen=True, slots=True)
class TokenizerDiff:
    """What two tokenizers, a and b, do differently.

    Attributes:
        settings: what is set otherwise.
        num_shared: different tokens, by their bytes, that both have; ``num_only_a`` and ``num_only_b`` one has.
        total: all texts together, and ``sources``, those of each file in the order in which they came.
        only_a, only_b: the most used of the tokens that one has alone.
        shorter_a, shorter_b: stretches that one writes in fewer tokens, the most saved first.
        other: stretches of equal numbers of tokens, the most frequent first.
        num_forgotten: stretches, rare or longer than 256 bytes, that were left out of these lists.
    """

    settings: tuple[Setting, ...]
    num_shared: int
    num_only_a: int
    num_only_b: int
    total: Usage
    sources: tuple[Usage, ...]
    only_a: tuple[OwnToken, ...]
    only_b: tuple[OwnToken, ...]
    shorter_a: tuple[Stretch, ...]
    shorter_b: tuple[Stretch, ...]
    other: tuple[Stretch, ...]
    num_forgotten: int

    def to_dict(self) -> dict[str, Any]:
        """Return nested dicts, lists, strings and numbers."""
        table = to_json(self)
        for usage, row in zip((self.total, *self.sources), (table["total"], *table["sources"]), strict=True):
            row["bytes_per_token_a"], row["bytes_per_token_b"] = usage.bytes_per_token_a, usage.bytes_per_token_b
            row["agreement"] = usage.agreement
        return table
