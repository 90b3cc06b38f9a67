"""Texts from addresses of a list."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from textmill.text.rules.judgement import Judgement
from textmill.text.rules.lists import read_list
from textmill.text.text_batch import TextBatch


@dataclass(frozen=True, slots=True, eq=False)
class BlockedUrls:
    """Addresses without scheme: ``example.com`` blocks its subdomains too, ``example.com/a`` all that is below it."""

    places: frozenset[str]
    rule_names: tuple[str, ...] = ("blocked_urls",)

    @classmethod
    def load(cls, path: Path) -> BlockedUrls:
        """Read a list, an address a line; raises ``DataError`` where it cannot be read."""
        return cls(frozenset("/".join(_split(line)) for line in read_list(path)))

    @property
    def bounds(self) -> dict[str, float]:
        """Nothing may be overridden."""
        return {}

    def overridden(self, bounds: dict[str, float]) -> BlockedUrls:
        """Stay as it is."""
        return self

    def describe(self, number: int, value: float) -> str:
        """Say how a text fails."""
        return "its address is on the list"

    def judge(self, texts: TextBatch, urls: TextBatch | None, threads: int) -> Judgement:
        """Find the texts whose address is blocked; without addresses none is."""
        fails = np.zeros(len(texts), np.bool_)
        if urls is not None:
            fails[:] = [self.blocks(url.decode(errors="replace")) for url in urls]
        return Judgement.of_flags(fails, texts)

    def blocks(self, url: str) -> bool:
        """Tell whether an address, its host or a domain above it is on the list."""
        return any(place in self.places for place in _places(url))


def _split(url: str) -> list[str]:
    """Split an address into host (in small letters, without user and port) and the parts of its path."""
    rest = url.strip().partition("://")[2] or url.strip()
    rest = rest.partition("#")[0].partition("?")[0].rstrip("/")
    host, *path = rest.split("/")
    return [host.rpartition("@")[2].partition(":")[0].rstrip(".").lower(), *path]


def _places(url: str) -> Iterator[str]:
    host, *path = _split(url)
    labels = host.split(".")
    for number in range(len(labels)):
        yield ".".join(labels[number:])
    for number in range(len(path)):
        yield "/".join([host, *path[: number + 1]])
