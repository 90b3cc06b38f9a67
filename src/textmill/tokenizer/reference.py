"""The tokenizer in plain Python: what the native core must agree with, and the text to read to understand it.

Slow on purpose: the pair to merge is searched anew each time. Characters that are bytes outside UTF-8 are the lone
surrogates of Python's ``surrogateescape``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from textmill.tokenizer import splitting
from textmill.tokenizer.alphabet import BYTE_ORDER
from textmill.tokenizer.patterns import Pattern

Pair = tuple[int, int]
Merges = dict[Pair, int]  # pair -> product; the order of the dict is the rank


def split(pattern: Pattern, text: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each piece and the number of the alternative that matched it, with a backtracking engine."""
    return splitting.split(pattern.regexes, text)


def train(pattern: Pattern, texts: Iterable[bytes], num_merges: int, first_id: int = 0) -> tuple[Merges, list[int]]:
    """Learn merges; returns them and how often each pair stood in the text.

    The pair that stands most often is merged; of equals, the one with the smallest ids. "aaa" holds (a, a) twice.
    """
    byte_ids = {byte: first_id + place for place, byte in enumerate(BYTE_ORDER)}
    pieces = Counter(piece for text in texts for piece, _ in split(pattern, text))
    words = {tuple(byte_ids[byte] for byte in piece): count for piece, count in pieces.items()}
    merges: Merges = {}
    counts: list[int] = []
    while len(merges) < num_merges:
        pairs: Counter[Pair] = Counter()
        for ids, count in words.items():
            for pair in pairwise(ids):
                pairs[pair] += count
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges[best] = first_id + 256 + len(merges)
        counts.append(pairs[best])
        words = {tuple(merge(ids, best, merges[best])): count for ids, count in words.items()}
    return merges, counts


def merge(ids: Sequence[int], pair: Pair, product: int) -> list[int]:
    """Replace a pair by its product wherever it stands, from left to right."""
    merged: list[int] = []
    at = 0
    while at < len(ids):
        if tuple(ids[at : at + 2]) == pair:
            merged.append(product)
            at += 2
        else:
            merged.append(ids[at])
            at += 1
    return merged


def encode(pattern: Pattern, merges: Merges, text: bytes, first_id: int = 0) -> list[int]:
    """Split a text and merge each piece: the merge of lowest rank first."""
    byte_ids = {byte: first_id + place for place, byte in enumerate(BYTE_ORDER)}
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    result: list[int] = []
    for piece, _ in split(pattern, text):
        ids = [byte_ids[byte] for byte in piece]
        while known := [pair for pair in pairwise(ids) if pair in ranks]:
            best = min(known, key=ranks.__getitem__)
            ids = merge(ids, best, merges[best])
        result += ids
    return result


def decode(merges: Merges, ids: Iterable[int], first_id: int = 0) -> bytes:
    """Put the bytes of tokens together."""
    tokens = {first_id + place: bytes([byte]) for place, byte in enumerate(BYTE_ORDER)}
    for (left, right), product in merges.items():
        tokens[product] = tokens[left] + tokens[right]
    return b"".join(tokens[token_id] for token_id in ids)
