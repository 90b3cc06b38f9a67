"""Clusters of duplicates: what links lead to, exact copies with it, and the document of each that stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from textmill.text.dedup.copies import Copies
from textmill.text.dedup.document_set import DocumentSet
from textmill.text.dedup.keepers import choose_keepers
from textmill.text.dedup.links import Links
from textmill.text.dedup.settings import KeepRule

_SHOWN_MEMBERS = 5


@dataclass(frozen=True, slots=True)
class Cluster:
    """Documents of which one stays.

    Attributes:
        size: documents in it, copies too.
        kept: the one that stays, as (unit, number in it).
        dropped: the first few others.
    """

    size: int
    kept: tuple[int, int]
    dropped: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """Clusters of two documents and more.

    Attributes:
        kept: int64[num_clusters], ascending: the document of each that stays.
        sizes: int64[num_clusters]: documents in each.
        dropped: int64[m], ascending: the documents that do not stay.
        kept_for: int64[m]: the one that stays for each of them.
    """

    kept: NDArray[np.int64]
    sizes: NDArray[np.int64]
    dropped: NDArray[np.int64]
    kept_for: NDArray[np.int64]

    def biggest(self, count: int, known: DocumentSet) -> list[Cluster]:
        """Show the biggest ones."""
        chosen = np.argsort(-self.sizes, kind="stable")[:count]
        return [self._show(int(number), known) for number in chosen]

    def _show(self, number: int, known: DocumentSet) -> Cluster:
        kept = int(self.kept[number])
        dropped = self.dropped[np.flatnonzero(self.kept_for == kept)[:_SHOWN_MEMBERS]]
        return Cluster(int(self.sizes[number]), known.place(kept), tuple(known.place(int(each)) for each in dropped))


def make_clusters(copies: Copies, links: Links, known: DocumentSet, keep: Sequence[KeepRule]) -> Clusters:
    """Put near duplicates and copies together; no link names a dropped copy."""
    near, kept_for_near = _near_duplicates(links, known, keep)
    dropped, kept_for = _with_copies(near, kept_for_near, copies) if len(copies.dropped) else (near, kept_for_near)
    kept, counts = np.unique(kept_for, return_counts=True)
    return Clusters(kept, counts + 1, dropped, kept_for)


def _with_copies(
    near: NDArray[np.int64], kept_for_near: NDArray[np.int64], copies: Copies
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add dropped copies: each is of a document that stays, or of one that is dropped for another."""
    kept_for_copies = copies.kept.copy()
    if len(near):
        places = np.searchsorted(near, copies.kept)
        places[places == len(near)] = 0
        is_near = near[places] == copies.kept
        kept_for_copies[is_near] = kept_for_near[places[is_near]]
    dropped = np.concatenate((near, copies.dropped))
    order = np.argsort(dropped)
    return dropped[order], np.concatenate((kept_for_near, kept_for_copies))[order]


def _near_duplicates(
    links: Links, known: DocumentSet, keep: Sequence[KeepRule]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the documents that do not stay, ascending, and which one stays for each."""
    keepers = choose_keepers(links.documents, links.groups, known, keep)[links.groups]
    is_dropped = links.documents != keepers
    return links.documents[is_dropped], keepers[is_dropped]
