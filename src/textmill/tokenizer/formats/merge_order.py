"""Merges by scores as a list of merges, where the two are the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import DataError
from textmill.tokenizer.characters import CharacterRules
from textmill.tokenizer.vocabulary import Vocabulary


def merge_list(vocabulary: Vocabulary) -> NDArray[np.uint32]:
    """Return the merges as a list in which each has a rank of its own: uint32[num_merges, 3].

    Where merges come from scores, all that make one piece have one rank, and the leftmost of them wins. In a list one
    of them comes first, which makes a difference only where a piece overlaps itself; that is tried on such text.

    Raises:
        DataError: a list does not give the same ids.
    """
    rules = vocabulary.characters
    assert rules is not None
    if rules.scores.size == 0:
        return vocabulary.merges
    rows = _core.CharacterVocab(
        rules.pieces, rules.kinds, rules.scores, vocabulary.merges, rules.byte_fallback
    ).merges()
    if rows.size and int(rows.max()) >= len(rules.pieces):
        raise DataError("a character that is part of pieces is no piece, which a tokenizer.json cannot hold")
    _check_ties(rules, np.unique(rows[:, 2]))
    left_sizes = np.array([len(piece) for piece in rules.pieces])[rows[:, 0]]
    # Runs of one character that have one score grow from the left: what is longest goes on.
    rows = rows[np.lexsort((-left_sizes, -rules.scores[rows[:, 2]].astype(np.float64)))]
    _check_overlaps(rules, rows, np.unique(rows[:, 2]))
    return rows


def _check_ties(rules: CharacterRules, products: NDArray[np.uint32]) -> None:
    groups: dict[float, set[str]] = {}
    for product in products.tolist():
        piece = rules.pieces[product]
        character = piece[0] if len(set(piece)) == 1 else piece
        groups.setdefault(float(rules.scores[product]), set()).add(character)
    for score, pieces in groups.items():
        if len(pieces) > 1:
            raise DataError(
                f"{len(pieces)} merged pieces, such as {min(pieces)!r} and {max(pieces)!r}, have the score {score:g}, "
                "and a tokenizer.json needs an order of merges"
            )


def _check_overlaps(rules: CharacterRules, rows: NDArray[np.uint32], products: NDArray[np.uint32]) -> None:
    by_score = _bare_encoder(rules, rules.scores, rows[:0])
    by_list = _bare_encoder(rules, rules.scores[:0], rows)
    for piece in (rules.pieces[product] for product in products.tolist()):
        for period in range(1, len(piece)):
            if piece.startswith(piece[period:]):
                texts = [(piece[:period] * (4 * len(piece)))[:size] for size in range(len(piece) + 1, 4 * len(piece))]
                left, right = by_score.encode_batch(texts, 1), by_list.encode_batch(texts, 1)
                if not all(map(np.array_equal, left, right)):
                    raise DataError(
                        f"text that repeats {piece[:period]!r} would be encoded otherwise from a list of merges, so a "
                        "tokenizer.json cannot hold this vocabulary exactly"
                    )
                break


def _bare_encoder(
    rules: CharacterRules, scores: NDArray[np.float32], merges: NDArray[np.uint32]
) -> _core.CharacterEncoder:
    vocab = _core.CharacterVocab(rules.pieces, rules.kinds, scores, merges, rules.byte_fallback)
    return _core.CharacterEncoder(
        vocab,
        dummy_prefix=0,
        dummy_suffix=False,
        remove_extra_spaces=False,
        escape_spaces=False,
        charsmap=b"",
        fuse_unknown=rules.fuse_unknown,
        splits_words=False,
        whole_words=False,
    )
