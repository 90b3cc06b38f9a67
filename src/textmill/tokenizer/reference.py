"""The tokenizer in plain Python: what the native core must agree with, and the text to read to understand it.

Slow on purpose: the pair to merge is searched anew each time. Characters that are bytes outside UTF-8 are the lone
surrogates of Python's ``surrogateescape``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise

from textmill.tokenizer import splitting
from textmill.tokenizer.alphabet import BYTE_ORDER
from textmill.tokenizer.patterns import Pattern

Pair = tuple[int, int]
Merges = dict[Pair, int]  # pair -> product; the order of the dict is the rank


def split(pattern: Pattern, text: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each piece and the number of the alternative that matched it, with a backtracking engine."""
    return splitting.split(pattern.regexes, text)


def train(
    pattern: Pattern,
    texts: Iterable[bytes],
    num_tokens: int,
    first_id: int = 0,
    *,
    min_frequency: int = 1,
    max_token_length: int | None = None,
    seeds: Sequence[bytes] = (),
    base: Merges | None = None,
    never: Collection[bytes] = (),
) -> tuple[Merges, list[int]]:
    """Learn up to ``num_tokens`` merges; returns them and how often each pair stood in the text.

    Seeds come first: the first two of a seed's parts are merged until it is one token. Then the pair that stands most
    often is merged; of equals, the one with the smallest ids. "aaa" holds (a, a) twice. Tokens of more than two bytes
    have fewer than ``max_token_length``, and none but a seed is in ``never``. All goes on top of ``base``.
    """
    base = base or {}
    merges, counts = dict(base), list[int]()
    tokens = {first_id + place: bytes([byte]) for place, byte in enumerate(BYTE_ORDER)}
    for (left, right), product in base.items():
        tokens[product] = tokens[left] + tokens[right]
    pieces = Counter(piece for text in texts for piece, _ in split(pattern, text))

    def pairs_of_text() -> Counter[Pair]:
        pairs: Counter[Pair] = Counter()
        for piece, count in pieces.items():
            for pair in pairwise(encode_piece(merges, piece, first_id)):
                pairs[pair] += count
        return pairs

    def learn(pair: Pair, count: int) -> None:
        merges[pair] = first_id + 256 + len(merges)
        tokens[merges[pair]] = tokens[pair[0]] + tokens[pair[1]]
        counts.append(count)

    def may_be_token(token: bytes) -> bool:
        return token not in never and (max_token_length is None or len(token) < max_token_length or len(token) == 2)

    for seed in seeds:
        while len(parts := encode_piece(merges, seed, first_id)) > 1:
            learn((parts[0], parts[1]), pairs_of_text()[parts[0], parts[1]])
    while len(counts) < num_tokens:
        allowed = {
            (left, right): count
            for (left, right), count in pairs_of_text().items()
            if count >= min_frequency and may_be_token(tokens[left] + tokens[right])
        }
        if not allowed:
            break
        best = min(allowed, key=lambda pair: (-allowed[pair], pair))
        learn(best, allowed[best])
    return {pair: product for pair, product in merges.items() if pair not in base}, counts


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
    """Split a text and merge each piece."""
    return [id_ for piece, _ in split(pattern, text) for id_ in encode_piece(merges, piece, first_id)]


def encode_piece(merges: Merges, piece: bytes, first_id: int = 0) -> list[int]:
    """Merge the bytes of a piece: the merge of lowest rank first."""
    byte_ids = {byte: first_id + place for place, byte in enumerate(BYTE_ORDER)}
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    ids = [byte_ids[byte] for byte in piece]
    while known := [pair for pair in pairwise(ids) if pair in ranks]:
        best = min(known, key=ranks.__getitem__)
        ids = merge(ids, best, merges[best])
    return ids


def decode(merges: Merges, ids: Iterable[int], first_id: int = 0) -> bytes:
    """Put the bytes of tokens together."""
    tokens = {first_id + place: bytes([byte]) for place, byte in enumerate(BYTE_ORDER)}
    for (left, right), product in merges.items():
        tokens[product] = tokens[left] + tokens[right]
    return b"".join(tokens[token_id] for token_id in ids)
