"""Seed tokens: the merges that make given byte strings tokens, before anything is learned."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from textmill.tokenizer.vocabulary import Vocabulary


def seed_merges(vocabulary: Vocabulary, seeds: Sequence[bytes]) -> NDArray[np.uint32]:
    """Find the merges that make each seed one token.

    For each seed in order: its bytes are encoded with all merges so far, and the first two of the parts become a new
    merge, until one part is left. So tokens that are there already are used, and no seed undoes an earlier one.

    Returns:
        uint32[num_merges, 3]: left, right and product; new products have the ids after the vocabulary's.
    """
    added_ids = {token.id for token in vocabulary.added}
    ids: dict[bytes, int] = {}
    for token_id, token in enumerate(vocabulary.tokens):
        if token and token_id not in added_ids:
            ids.setdefault(token, token_id)
    merges = {(left, right): product for left, right, product in vocabulary.merges.tolist()}
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    num_tokens = len(vocabulary.tokens)
    rows: list[tuple[int, int, int]] = []
    for seed in seeds:
        if vocabulary.whole_pieces and seed in ids:
            continue
        parts = _encode([bytes([byte]) for byte in seed], ids, ranks)
        while len(parts) > 1:
            joined = parts[0] + parts[1]
            pair = (ids[parts[0]], ids[parts[1]])
            if joined not in ids:
                ids[joined] = num_tokens
                num_tokens += 1
            ranks[pair] = len(ranks)
            rows.append((*pair, ids[joined]))
            parts = _encode(parts, ids, ranks)
    return np.array(rows, dtype=np.uint32).reshape(-1, 3)


def _encode(parts: list[bytes], ids: dict[bytes, int], ranks: dict[tuple[int, int], int]) -> list[bytes]:
    while True:
        known = [
            (rank, at)
            for at, (left, right) in enumerate(pairwise(parts))
            if (rank := ranks.get((ids[left], ids[right]))) is not None
        ]
        if not known:
            return parts
        _, at = min(known)
        parts = [*parts[:at], parts[at] + parts[at + 1], *parts[at + 2 :]]
