"""Why a text is not one token: cut by the pattern, never merged, or merged otherwise before its turn came."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from textmill import _core
from textmill.base.errors import ConfigError
from textmill.tokenizer.characters import BYTE, NORMAL, SPACE, UNUSED, USER_DEFINED, byte_name
from textmill.tokenizer.merge_table import MergeTable
from textmill.tokenizer.merging import NO_SYMBOL, Join, Merge, Symbol, joined, joins
from textmill.tokenizer.normalize import normalize
from textmill.tokenizer.vocabulary import Vocabulary
from textmill.tokenizer.why_not_answer import Cut, KnownMerge, LostMerge, NewMerge, Part, Reason, WhyNot

MAX_BYTES = 1024
_MAX_NEEDED = 64
# What may stand around a token that the pattern cuts when it stands alone.
_BEFORE = (b"", b" ", b"x", b"X", b" x", b"\n", b"1", b".", b"(", b"'", "é".encode())
_AFTER = (b"", b"x", b" ", b" x", b"\n", b"1", b".", b"X")

Encode = Callable[[bytes], tuple[list[int], list[tuple[int, int]]]]


def why_not(vocabulary: Vocabulary, table: MergeTable, encode: Encode, text: bytes) -> WhyNot:
    """Say why ``text`` is not one token; ``encode`` gives the ids and spans of a text.

    Raises:
        ConfigError: the text is empty, or longer than ``MAX_BYTES``.
    """
    if not 0 < len(text) <= MAX_BYTES:
        raise ConfigError(f"the text has {len(text):,} bytes, and what is asked about has 1 to {MAX_BYTES:,}")
    return _Question(vocabulary, table, encode, text).answer()


class _Question:
    """One text, and what is found out about it."""

    def __init__(self, vocabulary: Vocabulary, table: MergeTable, encode: Encode, text: bytes) -> None:
        self.vocabulary, self.table, self.encode, self.text = vocabulary, table, encode, text
        rules = vocabulary.characters
        # What is merged: over characters a space is U+2581 by then.
        self.piece = text.replace(b" ", SPACE.encode()) if rules is not None and rules.escape_spaces else text
        self.names = vocabulary.tokens if rules is None else tuple(piece.encode() for piece in rules.pieces)
        self.added = {token.id for token in vocabulary.added}
        self.kinds = None if rules is None else rules.kinds
        self.joins = list(table.joins(self.piece))
        self.merged = joined(table.symbols(self.piece), self.joins)

    def answer(self) -> WhyNot:
        token_id = self._token_id()
        added = next((token for token in self.vocabulary.added if token.text.encode() == self.text), None)
        if token_id is None and added is not None:
            return self._result(added.id, False, None, "added")
        normalized = normalize(self.text, self.vocabulary.normalizer)
        if normalized != self.text:
            return self._result(token_id, False if token_id is not None else None, None, "normaliser")
        if token_id is None:
            return self._no_token()
        example = self._example(token_id)
        if example is not None:
            return self._result(token_id, True, example, "reached")
        return self._unreached(token_id)

    def _token_id(self) -> int | None:
        """The ordinary token with this text: the one that merges make, where there are several."""
        if len(self.merged) == 1 and self.merged[0].id < len(self.names):
            return self.merged[0].id
        names = {self.piece}
        if self.kinds is not None and len(self.text) == 1:
            names.add(byte_name(self.text[0]).encode())
        found = (i for i, name in enumerate(self.names) if name in names and i not in self.added)
        return next(found, None)

    def _example(self, token_id: int) -> bytes | None:
        """A text in which the token is found."""
        is_one = [symbol.id for symbol in self.merged] == [token_id]
        if not is_one and not self.vocabulary.whole_pieces and self.kinds is None:
            return None
        for after in _AFTER:
            for before in _BEFORE:
                text = before + self.text + after
                ids, spans = self.encode(text)
                if any(
                    found == token_id and begin <= len(before) and end >= len(text) - len(after)
                    for found, (begin, end) in zip(ids, spans, strict=True)
                ):
                    return text
        return None

    def _no_token(self) -> WhyNot:
        if any(symbol.id == NO_SYMBOL for symbol in self.merged):
            return self._result(None, None, None, "unknown character")
        reason: Reason = "pattern" if len(self._cuts()) > 1 else "no merge"
        return self._result(None, None, None, reason)

    def _unreached(self, token_id: int) -> WhyNot:
        kind = None if self.kinds is None else int(self.kinds[token_id])
        if kind is not None and kind not in {NORMAL, USER_DEFINED}:
            notes = {
                UNUSED: "unused: text that merges into it is taken apart again",
                BYTE: "for bytes of characters that have no piece",
            }
            return self._result(
                token_id, None if kind == BYTE else False, None, "kind", notes.get(kind, "a control token")
            )
        if [symbol.id for symbol in self.merged] == [token_id]:
            return self._result(token_id, None, None, "pattern")
        is_reached = None if self.vocabulary.whole_pieces or self.kinds is not None else False
        wanted, unmade = self._derivation(token_id)
        lost = self._lost(wanted)
        reason: Reason = "lost merge" if lost is not None else "no merge"
        result = self._result(token_id, is_reached, None, reason)
        return replace(result, lost=lost, unmade=None if lost is not None else unmade)

    def _result(
        self, token_id: int | None, is_reached: bool | None, example: bytes | None, reason: Reason, note: str = ""
    ) -> WhyNot:
        ids, _ = self.encode(self.text)
        normalized = normalize(self.text, self.vocabulary.normalizer)
        is_merged = reason not in {"reached", "added", "kind", "normaliser"}
        return WhyNot(
            text=self.text,
            token_id=token_id,
            is_reached=is_reached,
            example=example,
            reason=reason,
            encoded=tuple(Part(i, self.vocabulary.tokens[i]) for i in ids),
            cuts=self._cuts(),
            normalized=normalized if normalized != self.text else None,
            merged=tuple(self._part(symbol) for symbol in self.merged),
            lost=None,
            unmade=None,
            needed=self._needed() if is_merged else (),
            note=note,
        )

    def _part(self, symbol: Symbol) -> Part:
        return Part(symbol.id, self.piece[symbol.begin : symbol.end])

    def _cuts(self) -> tuple[Cut, ...]:
        pattern = self.vocabulary.pattern
        if self.kinds is not None:
            return (Cut(self.text, "", "", 0),)
        ends, numbers = _core.split(pattern.splitter(), self.text)
        begins = [0, *ends.tolist()]
        return tuple(
            Cut(self.text[begin:end], pattern.alternative(n).name, pattern.alternative(n).regex, pattern.stage_of(n))
            for begin, end, n in zip(begins, ends.tolist(), numbers.tolist(), strict=False)
        )

    def _derivation(self, token_id: int) -> tuple[list[tuple[int, int, KnownMerge]], bytes | None]:
        """The merges that would make a token, as (begin, end, merge), and the first part that no merge makes."""
        starts = {(symbol.begin, symbol.end): symbol.id for symbol in self.table.symbols(self.piece)}
        wanted: list[tuple[int, int, KnownMerge]] = []
        unmade = None
        waiting = [(token_id, 0, len(self.piece))]
        while waiting:
            symbol, begin, end = waiting.pop()
            if starts.get((begin, end)) == symbol:
                continue
            makers = self.table.makers(symbol)
            if not makers:
                unmade = unmade or self.piece[begin:end]
                continue
            merge = makers[0]
            middle = begin + self._num_bytes(merge.left, begin)
            texts = self.piece[begin:middle], self.piece[middle:end]
            wanted.append((begin, end, KnownMerge(*texts, merge.rank)))
            waiting += [(merge.right, middle, end), (merge.left, begin, middle)]
        return wanted, unmade

    def _num_bytes(self, symbol: int, begin: int) -> int:
        if symbol < len(self.names):
            return len(self.names[symbol])
        return len(self.piece[begin:].decode("utf-8", "replace")[0].encode())  # a character that is no token

    def _lost(self, wanted: list[tuple[int, int, KnownMerge]]) -> LostMerge | None:
        """The first merge that takes a part of what another would have joined."""
        for join in self.joins:
            begin, end = join.left.begin, join.right.end
            crossed = [
                entry for entry in wanted if entry[0] < begin < entry[1] < end or begin < entry[0] < end < entry[1]
            ]
            if crossed:
                first, last, merge = min(crossed, key=lambda entry: entry[1] - entry[0])
                shared = self.piece[max(first, begin) : min(last, end)]
                return LostMerge(merge, self._known(join), shared)
        return None

    def _known(self, join: Join) -> KnownMerge:
        left, right = (self.piece[symbol.begin : symbol.end] for symbol in (join.left, join.right))
        return KnownMerge(left, right, join.merge.rank)

    def _needed(self) -> tuple[NewMerge, ...]:
        """Merges to add after all others, so that these bytes become one token."""
        if not 1 < len(self.merged) <= _MAX_NEEDED or any(symbol.id == NO_SYMBOL for symbol in self.merged):
            return ()
        mergeable = None if self.kinds is None else {NORMAL, UNUSED}
        known = {
            name: i
            for i, name in reversed(list(enumerate(self.names)))
            if i not in self.added and (mergeable is None or int(self.kinds[i]) in mergeable)  # type: ignore[index]
        }
        return tuple(_plan(self.table, self.merged, self.piece, known))


def _plan(table: MergeTable, symbols: list[Symbol], piece: bytes, known: dict[bytes, int]) -> Iterator[NewMerge]:
    """Join the first two of what is left, let all merges be made that follow, and so on until one is left."""
    new: dict[tuple[int, int], Merge] = {}
    next_id = NO_SYMBOL + 1
    products: dict[bytes, int] = {}

    def find(left: int, right: int) -> Merge | None:
        merge = table.find(left, right) if max(left, right) < NO_SYMBOL else None
        return merge or new.get((left, right))

    while len(symbols) > 1:
        left, right = symbols[:2]
        product = piece[left.begin : right.end]
        token_id = known.get(product)
        if token_id is None and product not in products:
            products[product] = next_id
            next_id += 1
        symbol = products[product] if token_id is None else token_id
        new[left.id, right.id] = Merge(NO_SYMBOL + len(new), left.id, right.id, symbol)
        yield NewMerge(piece[left.begin : left.end], piece[right.begin : right.end], token_id)
        symbols = joined(symbols, joins(symbols, find))
