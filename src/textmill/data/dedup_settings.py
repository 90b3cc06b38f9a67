"""What a pipeline says of duplicates, as deduplication wants to be told."""

from __future__ import annotations

from textmill.data.pipeline import DedupTable
from textmill.text.dedup import MinHashSettings


def minhash_settings(dedup: DedupTable) -> MinHashSettings | None:
    """Say to deduplication how a pipeline looks for near duplicates; None where it does not."""
    if not dedup.minhash:
        return None
    return MinHashSettings(bands=dedup.bands, rows=dedup.rows, ngram=dedup.ngram, min_jaccard=dedup.min_jaccard)


def wants_keys(dedup: DedupTable) -> bool:
    """Say whether documents are compared at all."""
    return dedup.exact or dedup.minhash
