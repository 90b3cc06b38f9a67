"""Rank files (``*.tiktoken``): a line ``BASE64 RANK`` for each token; two neighbours merge if they are a token."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from textmill import _core
from textmill.base.errors import ConfigError, DataError
from textmill.tokenizer.formats.files import named_in_errors
from textmill.tokenizer.formats.limits import read_limited, table_of_tokens
from textmill.tokenizer.patterns import PATTERNS, pattern_named
from textmill.tokenizer.vocabulary import AddedToken, Vocabulary


def read(path: Path, pattern: str | None, special_tokens: Mapping[str, int] | None) -> Vocabulary:
    """Read a rank file, which names neither its pattern nor its special tokens.

    Raises:
        ConfigError: the pattern is missing or unknown.
        DataError: a line is not a token and its rank, or a byte has no token.
    """
    if pattern is None:
        raise ConfigError(
            f'{path} does not say how text is split: give the pattern that it was made for (pattern="cl100k", or '
            f"--pattern cl100k): {', '.join(PATTERNS)}, or any regex"
        )
    split_by = pattern_named(pattern)
    specials = dict(special_tokens or {})
    with named_in_errors(path):
        ranked = _core.parse_ranks(read_limited(path))
        tokens = _with_specials(ranked, specials)
        ranked = ranked if not specials else _without_ids(tokens, specials.values())
        merges = _core.merges_from_ranks(ranked)
    added = tuple(sorted((AddedToken(i, text) for text, i in specials.items()), key=lambda token: token.id))
    # A token that merges make is what its own bytes encode to, so that looking it up as a whole changes nothing.
    has_unmerged = len(ranked) - ranked.count(b"") > 256 + len(merges)
    return Vocabulary(split_by, tokens, merges, added, whole_pieces=has_unmerged)


def _with_specials(ranked: list[bytes], specials: Mapping[str, int]) -> tuple[bytes, ...]:
    if not specials:
        return tuple(ranked)
    ordinary = [(rank, token) for rank, token in enumerate(ranked) if token]
    return table_of_tokens([*ordinary, *((i, text.encode()) for text, i in specials.items())])


def _without_ids(tokens: Iterable[bytes], ids: Collection[int]) -> list[bytes]:
    left_out = set(ids)
    return [b"" if i in left_out else token for i, token in enumerate(tokens)]


def to_ranks(vocabulary: Vocabulary) -> bytes:
    """Write a vocabulary as a rank file.

    Raises:
        DataError: the ranks alone would not give the same merges, or a token is reached only as a whole piece.
    """
    if vocabulary.characters is not None:
        raise DataError("this tokenizer merges characters, and a .tiktoken file holds bytes; save it as tokenizer.json")
    if vocabulary.normalizer or vocabulary.adds_prefix_space:
        what = "normalises text" if vocabulary.normalizer else "puts a space before text"
        raise DataError(f"this tokenizer {what}, which a .tiktoken file cannot say; save it as tokenizer.json")
    if vocabulary.missing_bytes:
        raise DataError(
            f"no token is the byte {vocabulary.missing_bytes[0]} alone, and a .tiktoken file needs all 256; save it as "
            "tokenizer.json"
        )
    tokens = _without_ids(vocabulary.tokens, [token.id for token in vocabulary.added])
    implied = _core.merges_from_ranks(tokens)
    if not np.array_equal(implied, vocabulary.merges):
        raise DataError(
            f"this vocabulary has {len(vocabulary.merges)} merges, and the order of its tokens implies {len(implied)} "
            "that are not the same, so a .tiktoken file would encode otherwise; save it as tokenizer.json"
        )
    num_reached = 256 + len(implied)
    num_tokens = sum(map(bool, tokens))
    if num_reached != num_tokens and not vocabulary.whole_pieces:
        raise DataError(
            f"{num_tokens - num_reached} of {num_tokens} tokens are made by no merge, and a .tiktoken file would make "
            "them of whole pieces; save it as tokenizer.json"
        )
    lines = (base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens) if token)
    return b"".join(lines)
