"""Duplicates among the documents of many units, in a bounded memory; the result depends on the documents alone.

Hashes and MinHash keys go through an external sort. Beside ``memory_limit`` it takes 9 bytes for each document and 16
for each pair of near duplicates while links are joined, and then 60 for each document that has a duplicate.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from textmill.base.errors import ConfigError
from textmill.base.files import storage_errors
from textmill.base.memory import give_back_memory
from textmill.text.dedup.candidates import CandidateSearch
from textmill.text.dedup.clusters import Clusters, make_clusters
from textmill.text.dedup.copies import Copies, find_copies
from textmill.text.dedup.document_set import DocumentSet, Keys, ReadTexts
from textmill.text.dedup.links import Links
from textmill.text.dedup.report import SHOWN_CLUSTERS, DuplicateReport, histogram, joined
from textmill.text.dedup.settings import DedupSettings
from textmill.text.dedup.verdicts import write_verdict
from textmill.text.dedup.verify import PairVerifier

__all__ = ["ReadTexts", "find_duplicates"]


def find_duplicates(
    units: Sequence[Keys],
    settings: DedupSettings,
    read_texts: ReadTexts,
    *,
    folder: Path,
    memory_limit: int = 1 << 30,
    threads: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DuplicateReport:
    """Find duplicates, and write for each unit which of its documents stay (see ``verdicts``).

    Args:
        units: in the order that decides which of equal documents is the first.
        settings: what is looked for.
        read_texts: gives texts of a unit: its index in ``units``, and numbers of documents, int64[m], ascending.
        folder: where the verdicts go, and for a while what does not fit the memory.
        memory_limit: bytes to work in; more than some 100 MB are not used, since it would be no quicker.
        threads: to use; the result does not depend on them.
        progress: is told how many of so many steps are done.

    Raises:
        ConfigError: the units' keys were made with other bands.
        StorageError: the disk is full.
    """
    if settings.minhash is not None:
        for number, unit in enumerate(units):
            if unit.num_bands != settings.minhash.bands:
                raise ConfigError(
                    f"unit {number} has keys of {unit.num_bands} bands, and {settings.minhash.bands} are asked for; "
                    "make its keys with the same settings"
                )
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    scopes = list(_scopes(units, settings))
    num_steps = len(scopes) * (3 + (2 * settings.minhash.bands if settings.minhash else 0))
    step = itertools.count(1)
    search = _Search(settings, folder, memory_limit, threads, lambda: progress(next(step), num_steps))
    return joined(
        [search.run(DocumentSet([units[number] for number in numbers], numbers, read_texts)) for numbers in scopes]
    )


def _scopes(units: Sequence[Keys], settings: DedupSettings) -> Iterator[list[int]]:
    """Yield the units whose documents are compared with one another."""
    if settings.scope == "all" or not units:
        yield list(range(len(units)))
        return
    for source in dict.fromkeys(unit.source for unit in units):
        yield [number for number, unit in enumerate(units) if unit.source == source]


@dataclass(frozen=True, slots=True)
class _Search:
    """How to search one scope."""

    settings: DedupSettings
    folder: Path
    memory_limit: int
    threads: int
    advance: Callable[[], None]

    def run(self, known: DocumentSet) -> DuplicateReport:
        """Find duplicates among documents, and write what becomes of them."""
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".sort-") as name:
            copies = self._copies(known, Path(name))
            self.advance()
            links = self._links(known, copies, Path(name))
            self.advance()
        give_back_memory()
        clusters = make_clusters(copies, links, known, self.settings.keep)
        for index, number in enumerate(known.numbers):
            write_verdict(self.folder, number, clusters, int(known.starts[index]), int(known.starts[index + 1]))
        self.advance()
        return _report(known, copies, links, clusters)

    def _copies(self, known: DocumentSet, temporary: Path) -> Copies:
        if not self.settings.exact:
            return Copies.none()
        return find_copies(known, self.settings.keep, temporary / "copies", max(1, self.memory_limit // 2))

    def _links(self, known: DocumentSet, copies: Copies, temporary: Path) -> Links:
        minhash = self.settings.minhash
        if minhash is None:
            return Links.none()
        # Texts are compared while the pairs that they belong to are held.
        half = max(1, self.memory_limit // 2)
        verifier = PairVerifier(known, minhash, half, self.threads)
        search = CandidateSearch(known, minhash, temporary, half)
        return search.find(copies.dropped, verifier.verify, self.advance)


def _report(known: DocumentSet, copies: Copies, links: Links, clusters: Clusters) -> DuplicateReport:
    return DuplicateReport(
        documents=len(known),
        exact_dropped=len(copies.dropped),
        near_dropped=len(clusters.dropped) - len(copies.dropped),
        clusters=len(clusters.kept),
        pairs_verified=links.num_verified,
        pairs_rejected=links.num_verified - links.num_pairs,
        not_compared=links.num_not_compared,
        cluster_sizes=histogram(clusters),
        biggest=tuple(clusters.biggest(SHOWN_CLUSTERS, known)),
    )
