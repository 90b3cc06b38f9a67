"""What deduplication found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from textmill.text.dedup.clusters import Cluster, Clusters

SHOWN_CLUSTERS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateReport:
    """What was found.

    Attributes:
        documents: all of them.
        exact_dropped: copies of the same bytes.
        near_dropped: near duplicates of a document that stays.
        clusters: documents that stay for others too.
        pairs_verified: candidates whose Jaccard index was computed.
        pairs_rejected: those of them that were too unlike.
        not_compared: documents left out of a comparison, since a group that shares a key had too many leaders.
        cluster_sizes: how many clusters there are of 2, 3-4, 5-8, ... documents.
        biggest: clusters.
    """

    documents: int = 0
    exact_dropped: int = 0
    near_dropped: int = 0
    clusters: int = 0
    pairs_verified: int = 0
    pairs_rejected: int = 0
    not_compared: int = 0
    cluster_sizes: dict[str, int] = field(default_factory=dict)
    biggest: tuple[Cluster, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Make it a value for JSON."""
        return asdict(self)

    @property
    def kept(self) -> int:
        """Documents that stay."""
        return self.documents - self.exact_dropped - self.near_dropped


def histogram(clusters: Clusters) -> dict[str, int]:
    """Count clusters by size, in classes that end at powers of two."""
    powers, counts = np.unique(np.ceil(np.log2(clusters.sizes)).astype(np.int64), return_counts=True)
    return {_class_name(int(power)): int(count) for power, count in zip(powers, counts, strict=True)}


def _class_name(power: int) -> str:
    return "2" if power == 1 else f"{2 ** (power - 1) + 1}-{2**power}"


def joined(reports: Sequence[DuplicateReport]) -> DuplicateReport:
    """Add up the reports of several scopes."""
    if len(reports) == 1:
        return reports[0]
    sizes: dict[str, int] = {}
    for report in reports:
        for name, count in report.cluster_sizes.items():
            sizes[name] = sizes.get(name, 0) + count
    biggest = sorted((each for report in reports for each in report.biggest), key=lambda each: (-each.size, each.kept))
    return DuplicateReport(
        documents=sum(report.documents for report in reports),
        exact_dropped=sum(report.exact_dropped for report in reports),
        near_dropped=sum(report.near_dropped for report in reports),
        clusters=sum(report.clusters for report in reports),
        pairs_verified=sum(report.pairs_verified for report in reports),
        pairs_rejected=sum(report.pairs_rejected for report in reports),
        not_compared=sum(report.not_compared for report in reports),
        cluster_sizes=dict(sorted(sizes.items(), key=lambda item: int(item[0].partition("-")[0]))),
        biggest=tuple(biggest[:SHOWN_CLUSTERS]),
    )
