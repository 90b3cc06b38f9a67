"""Taking a text apart: characters, their bytes, the pieces, the merges of each piece, the tokens."""

from __future__ import annotations

import dataclasses
import unicodedata
from dataclasses import dataclass
from typing import Any

from textmill import _core
from textmill.tokenizer.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Character:
    """A character of the text: its first byte, and what Unicode calls it (nothing for a byte that is not UTF-8)."""

    begin: int
    utf8: bytes
    code_point: int | None
    name: str
    category: str


@dataclass(frozen=True, slots=True)
class MergeStep:
    """Two neighbours becoming one: ``begin`` is where the product begins in the text, ``rank`` the merge's place."""

    begin: int
    left: int
    right: int
    product: int
    rank: int


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its id, and its first byte and the one after its last in the text."""

    id: int
    begin: int
    end: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Piece:
    """What the pattern cut out: no token crosses its ends.

    Attributes:
        begin, end: bytes in the text.
        alternative: the name of the alternative that matched, and ``regex``, its text.
        merges: in the order in which they were made.
        is_whole: the piece was looked up as one token, without merging.
    """

    begin: int
    end: int
    text: bytes
    alternative: str
    regex: str
    merges: tuple[MergeStep, ...]
    tokens: tuple[Token, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """A text, taken apart. ``to_dict`` gives what JSON can hold: bytes as hexadecimal, with the text beside it."""

    text: bytes
    pattern: str
    unicode_version: str
    characters: tuple[Character, ...]
    pieces: tuple[Piece, ...]

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens of all pieces, in order; their spans tile the text."""
        return tuple(token for piece in self.pieces for token in piece.tokens)

    @property
    def ids(self) -> list[int]:
        """The token ids."""
        return [token.id for token in self.tokens]

    def to_dict(self) -> dict[str, Any]:
        """Return nested dicts, lists, strings and numbers."""
        return _to_json(self)


def explain(vocabulary: Vocabulary, encoder: _core.Encoder, text: bytes) -> Explanation:
    """Take the bytes of a text apart as ``encoder`` does, ordinary text only."""
    ends, alternatives = _core.split(vocabulary.pattern.splitter(), text)
    pieces = []
    begin = 0
    for end, number in zip(ends.tolist(), alternatives.tolist(), strict=True):
        pieces.append(_explain_piece(vocabulary, encoder, text[begin:end], begin, number))
        begin = end
    return Explanation(text, vocabulary.pattern.name, _core.UNICODE_VERSION, tuple(_characters(text)), tuple(pieces))


def _explain_piece(
    vocabulary: Vocabulary, encoder: _core.Encoder, piece: bytes, begin: int, alternative_number: int
) -> Piece:
    alternative = vocabulary.pattern.alternative(alternative_number)
    steps, ids = encoder.trace(piece)
    merges = tuple(MergeStep(begin + at, *ids_and_rank) for at, *ids_and_rank in steps.tolist())
    tokens = []
    at = begin
    for token_id in ids.tolist():
        token = vocabulary.tokens[token_id]
        tokens.append(Token(token_id, at, at + len(token), token))
        at += len(token)
    return Piece(
        begin=begin,
        end=begin + len(piece),
        text=piece,
        alternative=alternative.name,
        regex=alternative.regex,
        merges=merges,
        tokens=tuple(tokens),
        is_whole=len(piece) > 1 and len(tokens) == 1 and not merges,
    )


def _characters(text: bytes) -> list[Character]:
    characters = []
    at = 0
    for character in text.decode("utf-8", "surrogateescape"):
        utf8 = character.encode("utf-8", "surrogateescape")
        if 0xDC80 <= ord(character) <= 0xDCFF:
            characters.append(Character(at, utf8, None, "", ""))
        else:
            name = unicodedata.name(character, "")
            characters.append(Character(at, utf8, ord(character), name, unicodedata.category(character)))
        at += len(utf8)
    return characters


def _to_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        table: dict[str, Any] = {}
        for field in dataclasses.fields(value):
            item = getattr(value, field.name)
            if isinstance(item, bytes):
                table[f"{field.name}_hex"] = item.hex(" ")
                item = item.decode("utf-8", "replace")
            table[field.name] = _to_json(item)
        return table
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value
