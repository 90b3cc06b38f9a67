"""A text taken apart in columns: what an explanation says of every merge, without an object for each of them.

Equal pieces are merged alike, so a piece's text and its merges are told once, as a shape, however often it comes.
Merges are the native encoder's own trace; ``explain`` makes them again in Python, and knows the runners-up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.tokenizer.explain import changes_before_splitting, normalized_changes
from textmill.tokenizer.explanation import Change
from textmill.tokenizer.merge_table import MergeTable
from textmill.tokenizer.normalize import with_prefix_space
from textmill.tokenizer.special import Part
from textmill.tokenizer.vocabulary import Encoder, Vocabulary


@dataclass(frozen=True, slots=True)
class Shape:
    """A piece's text, and how it is merged.

    Attributes:
        text: what is merged.
        symbols, symbol_ends: what it is before merging, and where each ends in it.
        merges: ``(begin, product, rank)`` in their order: the symbol at ``begin`` takes in the next one.
        num_tokens: that it becomes.
        is_whole, is_added: as a ``Piece`` of an explanation has them.
    """

    text: bytes
    symbols: tuple[int, ...]
    symbol_ends: tuple[int, ...]
    merges: tuple[tuple[int, int, int], ...]
    num_tokens: int
    is_whole: bool
    is_added: bool


@dataclass(slots=True)
class Outline:
    """A text, taken apart in columns; places are bytes of the text as it was given.

    Attributes:
        ids, ends: the tokens, and where each ends; the next one begins there.
        piece_ends, piece_alternatives, piece_shapes: of each piece, where it ends, the number of the alternative that
            cut it out (-1 for none), and its shape.
        shapes: what pieces there are.
        changes: what was changed before the text was split.
        dropped: bytes that no token stands for.
    """

    ids: list[int]
    ends: list[int]
    piece_ends: list[int] = field(default_factory=list)
    piece_alternatives: list[int] = field(default_factory=list)
    piece_shapes: list[int] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    dropped: bytes = b""

    @property
    def known_ids(self) -> set[int]:
        """Every id that is named anywhere in it."""
        products = {merge[1] for shape in self.shapes for merge in shape.merges}
        return products.union(self.ids, *(shape.symbols for shape in self.shapes))


_Merging: TypeAlias = tuple[NDArray[np.uint32], int]
"""Steps as the native trace tells them, places in the piece; and the number of tokens at the end."""


class Outliner:
    """Takes texts apart as the encoders of a vocabulary do: that of a text's start, and that after an added token."""

    def __init__(self, vocabulary: Vocabulary, table: MergeTable, encoders: tuple[Encoder, Encoder]) -> None:
        self._vocabulary = vocabulary
        self._table = table
        self._encoders = encoders

    def outline(self, text: bytes, parts: Sequence[Part], ids: list[int], ends: list[int]) -> Outline:
        """Take a text apart of which the ordinary and added parts, the ids, and the ends of their spans are known."""
        missing = set(self._vocabulary.missing_bytes)
        outline = Outline(ids=ids, ends=ends, dropped=bytes(byte for byte in text if byte in missing))
        writer = _Writer(outline, self._shape)
        for number, part in enumerate(parts):
            if part.token_id is not None:
                writer.add(part.text, -1, None)
                continue
            encoder, begin = self._encoders[number > 0], writer.end
            if isinstance(encoder, _core.CharacterEncoder):
                prepared = self._add_words(writer, encoder, part.text)
            else:
                prepared = self._add_pieces(writer, encoder, part.text)
            end = writer.end if prepared else begin + len(part.text)
            outline.changes += changes_before_splitting(encoder, text[begin:end], part.text, prepared, begin)
        outline.changes = sorted([*normalized_changes(parts), *outline.changes], key=lambda change: change.begin)
        return outline

    def _add_pieces(self, writer: _Writer, encoder: _core.Encoder, text: bytes) -> bytes:
        if self._vocabulary.adds_prefix_space:
            text = with_prefix_space(text)
        ends, alternatives = _core.split(self._vocabulary.pattern.splitter(), text)
        at = 0
        for end, alternative in zip(ends.tolist(), alternatives.tolist(), strict=True):
            piece = text[at:end]
            writer.add(piece, -1 if alternative == _core.GAP else alternative, partial(_traced, encoder, piece))
            at = end
        return text

    @staticmethod
    def _add_words(writer: _Writer, encoder: _core.CharacterEncoder, text: bytes) -> bytes:
        """Where characters are merged, the pieces are what no merge crosses."""
        normalized, _, words, steps, _, _ = encoder.trace(text)
        at = first = 0
        for end, num_steps, num_tokens in words.tolist():
            word_steps = steps[first : first + num_steps] - np.array([at, 0, 0, 0, 0], np.uint32)
            writer.add(normalized[at:end], -1, partial(_known, (word_steps, num_tokens)))
            at, first = end, first + num_steps
        return normalized

    def _shape(self, text: bytes, merging: _Merging | None) -> Shape:
        if merging is None:
            return Shape(text, (), (), (), num_tokens=1, is_whole=True, is_added=True)
        steps, num_tokens = merging
        symbols, symbol_ends = self._table.symbol_columns(text)
        can_be_whole = self._vocabulary.characters is None or self._vocabulary.whole_pieces
        return Shape(
            text=text,
            symbols=symbols,
            symbol_ends=symbol_ends,
            merges=tuple((begin, product, rank) for begin, _, _, product, rank in steps.tolist()),
            num_tokens=num_tokens,
            is_whole=can_be_whole and len(symbols) > 1 and num_tokens == 1 and not len(steps),
            is_added=False,
        )


class _Writer:
    """Adds pieces to an outline, one after another.

    Attributes:
        end: where the last one ends in the text.
    """

    def __init__(self, outline: Outline, shape: Callable[[bytes, _Merging | None], Shape]) -> None:
        self._outline = outline
        self._shape = shape
        self._numbers: dict[tuple[bytes, bool], int] = {}
        self._num_tokens = 0
        self.end = 0

    def add(self, text: bytes, alternative: int, merging: Callable[[], _Merging] | None) -> None:
        """Add a piece; ``merging`` is asked where the text is new, and None for an added token."""
        outline = self._outline
        key = text, merging is None
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(outline.shapes)
            outline.shapes.append(self._shape(text, None if merging is None else merging()))
        self._num_tokens += outline.shapes[number].num_tokens
        if outline.shapes[number].num_tokens:
            self.end = outline.ends[self._num_tokens - 1]
        outline.piece_ends.append(self.end)
        outline.piece_alternatives.append(alternative)
        outline.piece_shapes.append(number)


def _traced(encoder: _core.Encoder, piece: bytes) -> _Merging:
    steps, ids = encoder.trace(piece)
    return steps, len(ids)


def _known(merging: _Merging) -> _Merging:
    return merging
