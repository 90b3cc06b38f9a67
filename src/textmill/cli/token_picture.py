"""Text taken apart, drawn for a terminal: characters, bytes, tokens, one under the other."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from textmill.tokenizer.explain import Explanation
from textmill.tokenizer.tokenizer import Tokenizer


def draw_line(tokenizer: Tokenizer, text: str) -> Iterator[str]:
    """Draw a line's tokens side by side: the text of each, its bytes in hexadecimal, its id."""
    ids, spans = tokenizer.encode_with_spans(text)
    data = text.encode()
    columns = []
    for token, (start, stop) in zip(ids, spans, strict=True):
        piece = data[start:stop]
        columns.append((visible(piece), piece.hex(), str(token)))
    rows: list[list[str]] = [["text "], ["bytes"], ["ids  "]]
    for column in columns:
        width = max(display_width(cell) for cell in column)
        for row, cell in zip(rows, column, strict=True):
            row.append(cell + " " * (width - display_width(cell)))
    yield from _wrapped(rows)
    yield f"{len(data)} bytes in {len(ids)} tokens"


def draw_explanation(tokenizer: Tokenizer, explanation: Explanation) -> Iterator[str]:
    """Draw every step: characters and their bytes, pieces and what made them, merges with ranks, ids and spans."""
    yield "characters"
    for character in explanation.characters:
        point = "byte" if character.code_point is None else f"U+{character.code_point:04X}"
        bits = " ".join(f"{byte:08b}" for byte in character.utf8)
        name = "not UTF-8" if character.code_point is None else character.name.lower()
        yield f"  {point:<8} {character.utf8.hex(' '):<12} {bits:<36} {visible(character.utf8)}  {name}".rstrip()
    yield f"\npieces of the pattern {explanation.pattern}, Unicode {explanation.unicode_version}"
    for piece in explanation.pieces:
        yield f"  {visible(piece.text)}   bytes {piece.begin} to {piece.end}, by the alternative {piece.alternative}"
        if piece.is_whole:
            yield "      in the vocabulary as a whole"
        for step in piece.merges:
            left, right = (visible(tokenizer.token_bytes(token)) for token in (step.left, step.right))
            product = visible(tokenizer.token_bytes(step.product))
            yield f"      {left} + {right} = {product}   merge {step.rank:,}, id {step.product}"
    yield "\ntokens"
    for token in explanation.tokens:
        yield f"  {token.id:>8}  {visible(token.text)}   bytes {token.begin} to {token.end}"
    yield f"\n{len(explanation.text)} bytes in {len(explanation.tokens)} tokens"


def visible(data: bytes) -> str:
    """Show bytes as text with spaces and line ends made visible, and hexadecimal where they are no whole character."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in data)
    marks = {" ": "·", "\n": "⏎", "\t": "→", "\r": "␍"}
    return "".join(marks.get(c) or (c if c.isprintable() else f"\\u{ord(c):04x}") for c in text)


def display_width(text: str) -> int:
    """Columns that a text takes on a terminal: wide characters two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _wrapped(rows: list[list[str]], width: int = 78) -> Iterator[str]:
    """Lay columns out in blocks no wider than a terminal."""
    first, count = 1, len(rows[0])
    while first < count:
        last, used = first, display_width(rows[0][0])
        while last < count and (used := used + 3 + display_width(rows[0][last])) <= width:
            last += 1
        last = max(last, first + 1)
        for row in rows:
            yield " │ ".join([row[0], *row[first:last]])
        yield ""
        first = last
