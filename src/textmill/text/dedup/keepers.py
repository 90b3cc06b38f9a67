"""Which document of a cluster stays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.text.dedup.document_set import DocumentSet
from textmill.text.dedup.settings import KeepRule


def choose_keepers(
    documents: NDArray[np.int64], clusters: NDArray[np.int64], known: DocumentSet, keep: Sequence[KeepRule]
) -> NDArray[np.int64]:
    """Choose a document of each cluster.

    Args:
        documents: int64[m], each once.
        clusters: int64[m], the number of each one's cluster, 0 to num_clusters - 1, none of them empty.
        known: tells scores and lengths.
        keep: the rules, the first first.

    Returns:
        int64[num_clusters].
    """
    if (documents[1:] < documents[:-1]).any():
        order = np.argsort(documents)
        documents, clusters = documents[order], clusters[order]
    num_clusters = int(clusters.max()) + 1 if len(clusters) else 0
    for rule in keep:
        if rule == "first":
            break
        values = known.scores(documents) if rule == "score" else known.lengths(documents)
        is_best = values == _greatest(values, clusters, num_clusters)[clusters]
        documents, clusters = documents[is_best], clusters[is_best]
    keepers = np.full(num_clusters, np.iinfo(np.int64).max)
    np.minimum.at(keepers, clusters, documents)
    return keepers


def _greatest(values: NDArray[Any], clusters: NDArray[np.int64], num_clusters: int) -> NDArray[Any]:
    """The greatest value of each cluster. Without a sort, which would hold all documents several times."""
    least = -np.inf if values.dtype.kind == "f" else np.iinfo(values.dtype).min
    greatest = np.full(num_clusters, least, values.dtype)
    np.maximum.at(greatest, clusters, values)
    return greatest
