"""Comparing candidates: the Jaccard index of their whole sets of shingles."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.text.dedup.document_set import DocumentSet
from textmill.text.dedup.settings import MinHashSettings

# Texts with their sets, and the sets once more while they are joined, take so many times the bytes of the texts.
_COPIES = 8
# Of a chunk: more is no quicker, and would grow with the input as far as the limit lets it.
_ENOUGH_BYTES = 16 << 20


class PairVerifier:
    """Compares pairs of documents.

    Args:
        known: reads texts.
        settings: the shingles, and what they must have in common.
        memory_limit: bytes.
        num_threads: to use.
    """

    def __init__(self, known: DocumentSet, settings: MinHashSettings, memory_limit: int, num_threads: int) -> None:
        self._known = known
        self._settings = settings
        self._chunk_bytes = min(_ENOUGH_BYTES, memory_limit // _COPIES)
        self._num_threads = num_threads

    def verify(self, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell which pairs, int64[n, 2] in ascending order, are near duplicates; returns bool[n]."""
        is_near = np.empty(len(pairs), np.bool_)
        for begin, end in self._chunks(pairs):
            is_near[begin:end] = self._jaccards(pairs[begin:end]) >= self._settings.min_jaccard
        return is_near

    def _jaccards(self, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
        documents, places = np.unique(pairs, return_inverse=True)
        texts = self._known.texts(documents)
        sets, offsets = _core.shingle_sets(texts.data, texts.offsets, self._settings.ngram, self._num_threads)
        return _core.pair_jaccards(sets, offsets, places.reshape(-1, 2).astype(np.int64), self._num_threads)

    def _chunks(self, pairs: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """Cut pairs so that the texts of each chunk, a leader's counted once in a row, have so many bytes at most."""
        if len(pairs) == 0:
            return
        documents, places = np.unique(pairs, return_inverse=True)
        lengths = self._known.lengths(documents)[places.reshape(-1, 2)]
        is_same = np.append(False, pairs[1:, 0] == pairs[:-1, 0])
        ends = np.cumsum(lengths[:, 1] + np.where(is_same, 0, lengths[:, 0]))
        begin = 0
        while begin < len(pairs):
            before = int(ends[begin - 1]) if begin else 0
            end = max(begin + 1, int(np.searchsorted(ends, before + self._chunk_bytes, "right")))
            yield begin, end
            begin = end
