"""What an explanation holds: characters, changes, pieces with their merges, tokens, and all of it as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from textmill.tokenizer.as_json import to_json
from textmill.tokenizer.merging import Symbol


@dataclass(frozen=True, slots=True)
class Character:
    """A character of the text: its first byte, and what Unicode calls it (nothing for a byte that is not UTF-8)."""

    begin: int
    utf8: bytes
    code_point: int | None
    name: str
    category: str

    @property
    def bits(self) -> str:
        """The bytes in binary, a space between them."""
        return " ".join(f"{byte:08b}" for byte in self.utf8)


@dataclass(frozen=True, slots=True)
class Change:
    """What the tokenizer changes in a text before it splits it.

    Attributes:
        begin, end: bytes in the text.
        original, prepared: what stands there, and what is split instead.
        reason: who asks for it.
    """

    begin: int
    end: int
    original: bytes
    prepared: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class RunnerUp:
    """The best pair but one at the moment of a merge.

    Attributes:
        begin, middle, end: where its two parts stand in the piece's text.
        product, rank: of its merge.
        is_lost: the merge that won took one of its parts, so that it cannot follow here.
    """

    begin: int
    middle: int
    end: int
    product: int
    rank: int
    is_lost: bool


@dataclass(frozen=True, slots=True)
class MergeStep:
    """Two neighbours becoming one.

    Attributes:
        begin, middle, end: where the two parts stand in the piece's text.
        left, right, product: their ids. Over characters, one that is no token has an id beyond the last.
        rank: the merge's place in the list: the lowest is made first.
        count: how often the pair stood in the training text, where that is known.
        runner_up: what would have been merged instead.
    """

    begin: int
    middle: int
    end: int
    left: int
    right: int
    product: int
    rank: int
    count: int | None
    runner_up: RunnerUp | None


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its id, its first byte and the one after its last in the text as given, and what it decodes to."""

    id: int
    begin: int
    end: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Node:
    """A symbol of a merge tree: ``parts`` are the two that ``step`` joined, none for a byte or character."""

    id: int
    begin: int
    end: int
    step: MergeStep | None
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class NumberedNode:
    """A symbol of a merge tree that names its two parts by their numbers; ``rank`` is that of the merge."""

    id: int
    begin: int
    end: int
    text: bytes
    rank: int | None
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NumberedTree:
    """The merge trees of a piece as a list, however deep they are: JSON cannot nest as deep as a token can be.

    Attributes:
        nodes: the bytes or characters, and then what each merge made, in that order.
        roots: the numbers of the nodes that are left at the end, from left to right.
    """

    nodes: tuple[NumberedNode, ...]
    roots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """An alternative that matched, and which regex of the pattern it is in, from 1."""

    alternative: str
    regex: str
    stage: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What the pattern cut out: no token crosses its ends.

    Attributes:
        begin, end: bytes in the text as it was given.
        text: what is merged: those bytes, but for what was changed before.
        alternative: the name of the alternative that matched, and ``regex``, its text; "" where no pattern splits.
        stage: which regex of the pattern it is in, from 1; 0 where none matched.
        earlier: what cut out the piece, or what it was a part of, in the stages before that one.
        symbols: what the piece is before merging.
        merges: in the order in which they were made.
        is_whole: the piece was looked up as one token, without merging.
        is_added: it is an added token, found before the pattern.
    """

    begin: int
    end: int
    text: bytes
    alternative: str
    regex: str
    stage: int
    earlier: tuple[Match, ...]
    symbols: tuple[Symbol, ...]
    merges: tuple[MergeStep, ...]
    tokens: tuple[Token, ...]
    is_whole: bool
    is_added: bool

    def trees(self) -> list[Node]:
        """Return the merge trees, from left to right: one for each symbol that is left at the end."""
        nodes = {symbol.begin: Node(symbol.id, symbol.begin, symbol.end, None, ()) for symbol in self.symbols}
        for step in self.merges:
            parts = nodes[step.begin], nodes.pop(step.middle)
            nodes[step.begin] = Node(step.product, step.begin, step.end, step, parts)
        return [nodes[begin] for begin in sorted(nodes)]

    def numbered_tree(self) -> NumberedTree:
        """Return the merge trees without nesting, for JSON; empty where the piece was looked up as a whole."""
        nodes: list[NumberedNode] = []
        numbers: dict[int, int] = {}

        def add(symbol: int, begin: int, end: int, rank: int | None, parts: tuple[int, ...]) -> None:
            numbers[begin] = len(nodes)
            nodes.append(NumberedNode(symbol, begin, end, self.text[begin:end], rank, parts))

        for symbol in () if self.is_whole else self.symbols:
            add(symbol.id, symbol.begin, symbol.end, None, ())
        for step in self.merges:
            add(step.product, step.begin, step.end, step.rank, (numbers[step.begin], numbers.pop(step.middle)))
        return NumberedTree(tuple(nodes), tuple(numbers[begin] for begin in sorted(numbers)))


@dataclass(frozen=True, slots=True)
class Explanation:
    """A text, taken apart. ``to_dict`` gives what JSON can hold: bytes as hexadecimal, with the text beside it.

    Attributes:
        text: as it was given.
        prepared: what was split: normalised, with the space that some tokenizers put before it.
        changes: how they differ.
        dropped: bytes of the text that no token stands for; they are left out.
        num_stages: how many regexes the pattern has, each splitting the pieces of the one before.
    """

    text: bytes
    prepared: bytes
    changes: tuple[Change, ...]
    dropped: bytes
    pattern: str
    num_stages: int
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
        table = to_json(self)
        for character, row in zip(self.characters, table["characters"], strict=True):
            row["utf8_bits"] = character.bits
        for piece, row in zip(self.pieces, table["pieces"], strict=True):
            row["tree"] = to_json(piece.numbered_tree())
        return table | {"ids": self.ids}
