"""The merges of a vocabulary as a table to ask: which merge joins two symbols, which merges make a token."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.tokenizer.characters import NORMAL, UNUSED, USER_DEFINED, CharacterRules
from textmill.tokenizer.merging import NO_SYMBOL, Join, Merge, Symbol, joins
from textmill.tokenizer.vocabulary import Vocabulary

_REMEMBERED_PAIRS = 1 << 16  # a search in the sorted pairs takes 5 µs, a remembered one 0.1


class MergeTable:
    """The merges of one vocabulary. Immutable."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        rules = vocabulary.characters
        if rules is None:
            self._rows = vocabulary.merges
            self._ranks = np.arange(len(self._rows), dtype=np.int64)
            self._starts = _byte_symbols(vocabulary)
            self._user_defined: dict[str, list[str]] = {}
        else:
            self._rows = _character_rows(vocabulary, rules)
            self._ranks = _ranks_by_score(rules, self._rows)
            self._starts = _character_symbols(rules, self._rows)
            self._user_defined = _user_defined(rules)
            self._pieces = {piece: i for i, piece in enumerate(rules.pieces) if piece}
        self._over_characters = rules is not None
        self._has_all_bytes = len(self._starts) == 256
        keys = self._rows[:, 0].astype(np.uint64) << np.uint64(32) | self._rows[:, 1]
        self._by_pair = np.argsort(keys, kind="stable")
        self._keys = keys[self._by_pair]
        self._by_product = np.argsort(self._rows[:, 2], kind="stable")
        self._products = self._rows[self._by_product, 2]
        self._find = lru_cache(maxsize=_REMEMBERED_PAIRS)(self._search)

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, left: int, right: int) -> Merge | None:
        """The merge of two symbols, None where there is none."""
        return self._find(left, right)

    def makers(self, product: int) -> list[Merge]:
        """The merges that make a symbol, the lowest rank first."""
        first, last = (int(np.searchsorted(self._products, product, side=side)) for side in ("left", "right"))
        return [self._merge(int(row)) for row in self._by_product[first:last]]

    def symbols(self, piece: bytes) -> list[Symbol]:
        """What a piece is before anything is merged: its bytes, or its characters and user-defined pieces."""
        if not self._over_characters:
            known = ((self._starts.get(piece[at : at + 1]), at) for at in range(len(piece)))
            return [Symbol(symbol, at, at + 1) for symbol, at in known if symbol is not None]
        symbols = []
        text, at, byte = piece.decode("utf-8", "surrogateescape"), 0, 0
        while at < len(text):
            candidates = self._user_defined.get(text[at], ())
            found = next((name for name in candidates if text.startswith(name, at)), "")
            part = found or text[at]
            utf8 = part.encode("utf-8", "surrogateescape")
            symbol = self._pieces[found] if found else self._starts.get(utf8, NO_SYMBOL)
            symbols.append(Symbol(symbol, byte, byte + len(utf8)))
            at, byte = at + len(part), byte + len(utf8)
        return symbols

    def symbol_columns(self, piece: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids of ``symbols`` and where each ends, without an object for each of them."""
        if not self._over_characters and self._has_all_bytes:
            return tuple(self._starts[piece[at : at + 1]] for at in range(len(piece))), tuple(range(1, len(piece) + 1))
        symbols = self.symbols(piece)
        return tuple(symbol.id for symbol in symbols), tuple(symbol.end for symbol in symbols)

    def joins(self, piece: bytes) -> Iterator[Join]:
        """Carry out the merges of a piece, the lowest rank first and the leftmost of equals."""
        return joins(self.symbols(piece), self.find)

    def _search(self, left: int, right: int) -> Merge | None:
        key = np.uint64(left << 32 | right)
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            return None
        return self._merge(int(self._by_pair[place]))

    def _merge(self, row: int) -> Merge:
        return Merge(int(self._ranks[row]), *self._rows[row].tolist())


def _byte_symbols(vocabulary: Vocabulary) -> dict[bytes, int]:
    added = {token.id for token in vocabulary.added}
    return {token: i for i, token in enumerate(vocabulary.tokens) if len(token) == 1 and i not in added}


def _character_rows(vocabulary: Vocabulary, rules: CharacterRules) -> NDArray[np.uint32]:
    native = _core.CharacterVocab(rules.pieces, rules.kinds, rules.scores, vocabulary.merges, rules.byte_fallback)
    return native.merges()


def _ranks_by_score(rules: CharacterRules, rows: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Rows in order, or the place of a product's score among all scores: pieces of equal score have equal ranks."""
    if not rules.scores.size:
        return np.arange(len(rows), dtype=np.int64)
    lowest_first = np.unique(-rules.scores[np.isin(rules.kinds, (NORMAL, UNUSED))])
    return np.searchsorted(lowest_first, -rules.scores[rows[:, 2]])


def _character_symbols(rules: CharacterRules, rows: NDArray[np.uint32]) -> dict[bytes, int]:
    symbols = {}
    for symbol, (piece, kind) in enumerate(zip(rules.pieces, rules.kinds.tolist(), strict=True)):
        if len(piece) == 1 and kind in {NORMAL, UNUSED}:
            symbols[piece.encode()] = symbol
    size = len(rules.pieces)
    for left, right, product in rows[(rows[:, :2] >= size).any(axis=1)].tolist():
        # Symbols beyond the last piece are single characters, so the ends of the product name them.
        if left >= size:
            symbols[rules.pieces[product][0].encode()] = left
        if right >= size:
            symbols[rules.pieces[product][-1].encode()] = right
    return symbols


def _user_defined(rules: CharacterRules) -> dict[str, list[str]]:
    """User-defined pieces by their first character, the longest first."""
    found: dict[str, list[str]] = {}
    for piece, kind in zip(rules.pieces, rules.kinds.tolist(), strict=True):
        if kind == USER_DEFINED and piece:
            found.setdefault(piece[0], []).append(piece)
    return {first: sorted(pieces, key=len, reverse=True) for first, pieces in found.items()}
