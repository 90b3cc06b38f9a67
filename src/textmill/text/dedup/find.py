"""Duplicates among the documents of many units, in a bounded memory; the result depends on the documents alone.

Hashes and MinHash keys go through an external sort. Beside ``memory_limit`` it takes 16 bytes for each document that is
dropped, and 17 for each pair that is compared.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from textmill.base.files import storage_errors
from textmill.text.dedup.candidates import CandidateSearch, Links
from textmill.text.dedup.clusters import Clusters, make_clusters
from textmill.text.dedup.copies import Copies, find_copies
from textmill.text.dedup.document_set import DocumentSet, ReadTexts
from textmill.text.dedup.keys import UnitKeys
from textmill.text.dedup.report import SHOWN_CLUSTERS, DuplicateReport, histogram, joined
from textmill.text.dedup.settings import DedupSettings
from textmill.text.dedup.verdicts import write_verdict
from textmill.text.dedup.verify import PairVerifier

__all__ = ["ReadTexts", "find_duplicates"]


def find_duplicates(
    units: Sequence[UnitKeys],
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
        memory_limit: bytes to work in.
        threads: to use; the result does not depend on them.
        progress: is told how many of so many steps are done.

    Raises:
        StorageError: the disk is full.
    """
    assert settings.minhash is None or all(len(unit.bands) == settings.minhash.bands for unit in units)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    scopes = list(_scopes(units, settings))
    steps_each = 3 + (settings.minhash.bands if settings.minhash else 0)
    step = itertools.count(1)

    def advance() -> None:
        progress(next(step), steps_each * len(scopes))

    reports = []
    for numbers in scopes:
        known = DocumentSet([units[number] for number in numbers], numbers, read_texts)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".sort-") as temporary:
            reports.append(_find_in(known, settings, Path(temporary), folder, memory_limit, threads, advance))
    return joined(reports)


def _scopes(units: Sequence[UnitKeys], settings: DedupSettings) -> Iterator[list[int]]:
    """Yield the units whose documents are compared with one another."""
    if settings.scope == "all" or not units:
        yield list(range(len(units)))
        return
    for source in dict.fromkeys(unit.source for unit in units):
        yield [number for number, unit in enumerate(units) if unit.source == source]


def _find_in(
    known: DocumentSet,
    settings: DedupSettings,
    temporary: Path,
    folder: Path,
    memory_limit: int,
    threads: int,
    advance: Callable[[], None],
) -> DuplicateReport:
    copies = find_copies(known, settings.keep, temporary / "copies", memory_limit) if settings.exact else Copies.none()
    advance()
    links = Links.none()
    if settings.minhash is not None:
        search = CandidateSearch(known, settings.minhash, temporary / "pairs", memory_limit)
        verifier = PairVerifier(known, settings.minhash, memory_limit, threads)
        links = search.find(copies.dropped, verifier.verify, advance)
    advance()
    clusters = make_clusters(copies, links.pairs, known, settings.keep)
    for index, number in enumerate(known.numbers):
        write_verdict(folder, number, clusters, int(known.starts[index]), int(known.starts[index + 1]))
    advance()
    return _report(known, copies, links, clusters)


def _report(known: DocumentSet, copies: Copies, links: Links, clusters: Clusters) -> DuplicateReport:
    return DuplicateReport(
        documents=len(known),
        exact_dropped=len(copies.dropped),
        near_dropped=len(clusters.dropped) - len(copies.dropped),
        clusters=len(clusters.kept),
        pairs_verified=links.num_verified,
        pairs_rejected=links.num_verified - len(links.pairs),
        not_compared=links.num_not_compared,
        cluster_sizes=histogram(clusters),
        biggest=tuple(clusters.biggest(SHOWN_CLUSTERS, known)),
    )
