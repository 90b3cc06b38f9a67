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
    order = np.argsort(documents)
    documents, clusters = documents[order], clusters[order]
    columns: list[NDArray[Any]] = [clusters]
    for rule in keep:
        if rule == "score":
            columns.append(-known.scores(documents))
        elif rule == "longest":
            columns.append(-known.lengths(documents))
        else:
            break
    ordered = np.lexsort((documents, *columns[::-1]))
    clusters = clusters[ordered]
    is_first = np.ones(len(clusters), np.bool_)
    is_first[1:] = clusters[1:] != clusters[:-1]
    return documents[ordered[is_first]]
