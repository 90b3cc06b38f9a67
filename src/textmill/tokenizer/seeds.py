"""Seed tokens: the merges that make given byte strings tokens, before anything is learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from textmill.tokenizer.merge_table import MergeTable
from textmill.tokenizer.merging import Merge, joined, joins
from textmill.tokenizer.vocabulary import Vocabulary


def seed_merges(vocabulary: Vocabulary, seeds: Sequence[bytes]) -> NDArray[np.uint32]:
    """Find the merges that make each seed one token.

    For each seed in order: its bytes are encoded with all merges so far, and the first two of the parts become a new
    merge, until one part is left. So tokens that are there already are used, and no seed undoes an earlier one.

    Returns:
        uint32[num_merges, 3]: left, right and product; new products have the ids after the vocabulary's.
    """
    table = MergeTable(vocabulary)
    added_ids = {token.id for token in vocabulary.added}
    ids: dict[bytes, int] = {}
    for token_id, token in enumerate(vocabulary.tokens):
        if token and token_id not in added_ids:
            ids.setdefault(token, token_id)
    new: dict[tuple[int, int], Merge] = {}
    num_tokens = len(vocabulary.tokens)

    def find(left: int, right: int) -> Merge | None:
        return table.find(left, right) or new.get((left, right))

    for seed in seeds:
        if vocabulary.whole_pieces and seed in ids:
            continue
        parts = table.symbols(seed)
        while len(parts := joined(parts, joins(parts, find))) > 1:
            left, right = parts[:2]
            text = seed[left.begin : right.end]
            if text not in ids:
                ids[text] = num_tokens
                num_tokens += 1
            new[left.id, right.id] = Merge(len(table) + len(new), left.id, right.id, ids[text])
    rows = [(merge.left, merge.right, merge.product) for merge in new.values()]
    return np.array(rows, dtype=np.uint32).reshape(-1, 3)
