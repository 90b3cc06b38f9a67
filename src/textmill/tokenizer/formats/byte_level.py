"""Tokens over bytes by the names that tokenizer.json and GGUF give them, and merges of two such names."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import DataError
from textmill.tokenizer.alphabet import BYTE_OF_CHARACTER, to_bytes

# A translation to Latin-1; every other letter of Latin-1 becomes one that Latin-1 lacks.
_TO_LATIN_1 = dict.fromkeys(range(256), 0xFFFD) | {
    ord(character): byte for character, byte in BYTE_OF_CHARACTER.items()
}


def token_of(token_id: int, name: str) -> bytes:
    """Return the bytes of a token by its name, a character for each byte."""
    try:
        return to_bytes(name)
    except KeyError as error:
        raise DataError(
            f"token {token_id} {name[:80]!r} holds U+{ord(error.args[0]):04X}, which stands for no byte; "
            "textmill knows byte-level vocabularies"
        ) from error


def tokens_of(names: Sequence[str]) -> list[bytes] | None:
    """Return the bytes of many tokens at once, or None where a name is of no token: ``token_of`` says which."""
    try:
        together = "".join(names).translate(_TO_LATIN_1).encode("latin-1")
    except UnicodeEncodeError:
        return None
    ends = list(itertools.accumulate(map(len, names), initial=0))
    return [together[begin:end] for begin, end in itertools.pairwise(ends)]


def merge_rows(merges: Sequence[object], ids: Mapping[str, int]) -> NDArray[np.uint32]:
    """Look the parts and the product of each merge up: uint32[num_merges, 3].

    Args:
        merges: "left right", or the two in a list; the first is made first.
        ids: the ids of the tokens that may be merged.

    Raises:
        DataError: a merge is written otherwise, or needs a token that there is not.
    """
    rows = _rows_of_texts(merges, ids)
    if rows is not None:
        return rows
    rows = np.empty((len(merges), 3), dtype=np.uint32)
    for rank, merge in enumerate(merges):
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) and part for part in parts):
            raise DataError(f"merge {rank} is {str(merge)[:80]!r}, and must be two tokens")
        left, right = parts
        for name in (left, right, left + right):
            if name not in ids:
                raise DataError(f"merge {rank} needs the token {name[:80]!r}, which is not among the ordinary tokens")
        rows[rank] = ids[left], ids[right], ids[left + right]
    return rows


def _rows_of_texts(merges: Sequence[object], ids: Mapping[str, int]) -> NDArray[np.uint32] | None:
    """Look all merges up at once; None where one is not as it must be, or not written as a text."""
    rows: list[int] = []  # flat: a list for each merge would cost as much again
    for merge in merges:
        if not isinstance(merge, str):
            return None
        left, _, right = merge.partition(" ")
        if " " in right:
            return None
        try:
            rows += ids[left], ids[right], ids[left + right]
        except KeyError:
            return None
    return np.array(rows, dtype=np.uint32).reshape(-1, 3)
