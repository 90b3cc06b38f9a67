"""Text taken apart, drawn for a terminal: characters, bytes, pieces, merge trees, tokens, one under the other."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from rich.text import Text

from textmill.tokenizer.explanation import Change, Character, Explanation, Match, Node, Piece, Token
from textmill.tokenizer.tokenizer import Tokenizer

_MARKS = {" ": "·", "\n": "⏎", "\t": "→", "\r": "␍"}
_MAX_DEPTH = 12  # of a tree that is drawn; deeper parts are drawn as one
_TOKEN_STYLES = ("cyan", "magenta", "green", "yellow")
_BYTES_A_LINE = 2


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
            row.append(padded(cell, width))
    yield from _wrapped(rows)
    yield sizes(len(data), len(ids))


def draw_explanation(explanation: Explanation, width: int, *, with_runners_up: bool = False) -> Iterator[Text]:
    """Draw every step: characters and their bytes, what is changed, pieces and their merge trees, ids and spans."""
    yield Text("characters and their bytes in UTF-8", "bold")
    yield from _characters(explanation.characters, width)
    if explanation.changes or explanation.dropped:
        yield Text("\nwhat is changed before splitting", "bold")
        yield from map(_change, explanation.changes)
        if explanation.dropped:
            yield Text(f"  left out, since no token stands for them: bytes {explanation.dropped.hex(' ')}")
    yield Text(f"\n{_heading(explanation)}", "bold")
    for number, piece in enumerate(explanation.pieces):
        for line in _piece(piece, explanation, number, with_runners_up):
            line.truncate(width, overflow="ellipsis")
            yield line
    yield Text("\ntokens", "bold")
    id_width = max((len(str(token.id)) for token in explanation.tokens), default=0)
    for number, token in enumerate(explanation.tokens):
        line = _token(token, number, id_width)
        line.truncate(width, overflow="ellipsis")
        yield line
    num_tokens = len(explanation.tokens)
    ratio = f", {len(explanation.text) / num_tokens:.2f} bytes each" if num_tokens else ""
    yield Text(f"\n{sizes(len(explanation.text), num_tokens)}{ratio}")


def visible(data: bytes) -> str:
    """Show bytes as text with spaces and line ends made visible, and hexadecimal where they are no whole character."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "".join(f"\\x{byte:02x}" for byte in data)
    if text and _is_mark(text[0]):
        text = "◌" + text  # else it would be drawn onto what stands before
    return "".join(map(_visible_character, text))


def display_width(text: str) -> int:
    """Columns that a text takes on a terminal: wide characters two, combining marks none."""
    return sum(0 if _is_mark(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def padded(text: str, width: int) -> str:
    """Fill up with spaces to a number of columns."""
    return text + " " * (width - display_width(text))


def clipped(text: str, width: int) -> str:
    """Cut off what is over a number of columns, with a sign that it is."""
    if display_width(text) <= width:
        return text
    while text and display_width(text) > width - 1:
        text = text[:-1]
    return text + "…"


def _is_mark(character: str) -> bool:
    return unicodedata.category(character) in {"Mn", "Me"}


def _visible_character(character: str) -> str:
    is_selector = "\ufe00" <= character <= "\ufe0f"
    if character in _MARKS or (character.isprintable() and not is_selector):
        return _MARKS.get(character, character)
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"


def _characters(characters: Sequence[Character], width: int) -> Iterator[Text]:
    """A line for each character; where they do not fit, two bytes a line."""
    rows = [_character_cells(character) for character in characters]
    if not rows:
        return
    hex_width = max(len(character.utf8.hex(" ")) for character in characters)
    bits_width = max(len(character.bits) for character in characters)
    head_width = max(display_width(head) for head, _ in rows)
    name_width = max(display_width(name) for _, name in rows)
    fits = head_width + hex_width + bits_width + name_width + 6 <= width
    if not fits:
        hex_width, bits_width = 3 * _BYTES_A_LINE - 1, 9 * _BYTES_A_LINE - 1
    name_width = max(8, width - head_width - hex_width - bits_width - 6)
    for character, (head, name) in zip(characters, rows, strict=True):
        step = len(character.utf8) if fits else _BYTES_A_LINE
        for at in range(0, len(character.utf8), step):
            part = character.utf8[at : at + step]
            line = Text(padded(head if at == 0 else "", head_width) + "  ")
            line.append(f"{part.hex(' '):<{hex_width}}  ", "cyan")
            line.append_text(_bits(part, character.code_point is not None))
            line.append(" " * (bits_width - 9 * len(part) + 1) + "  ")
            line.append(clipped(name, name_width) if at == 0 else "")
            line.rstrip()
            yield line


def _character_cells(character: Character) -> tuple[str, str]:
    point = "no UTF-8" if character.code_point is None else f"U+{character.code_point:04X}"
    name = character.name.lower() or ("a byte of no character" if character.code_point is None else "no name")
    return f"  {padded(visible(character.utf8), 4)} {point:<8} {character.category:<2}", name


def _bits(data: bytes, is_utf8: bool) -> Text:
    """Bytes in binary; the bits that only say how UTF-8 is put together are dim."""
    line = Text()
    for place, byte in enumerate(data):
        bits = f"{byte:08b}"
        num_marks = 0 if not is_utf8 else bits.index("0") + 1
        line.append(" " if place else "")
        line.append(bits[:num_marks], "dim")
        line.append(bits[num_marks:])
    return line


def _change(change: Change) -> Text:
    if not change.original:
        return Text(f"  {visible(change.prepared)} is put before byte {change.begin}: {change.reason}")
    line = Text("  ")
    line.append(visible(change.original), "red")
    line.append(f"{_hex(change.original)} becomes ")
    line.append(visible(change.prepared) or "nothing", "green")
    line.append(f"{_hex(change.prepared)}: {change.reason}")
    return line


def _hex(data: bytes) -> str:
    return f" ({data.hex(' ')})" if 0 < len(data) <= 8 else ""


def _heading(explanation: Explanation) -> str:
    if not explanation.num_stages:
        return "what no merge crosses, and the merges inside"
    name = explanation.pattern if len(explanation.pattern) < 30 else "a pattern of its own"
    stages = f", {explanation.num_stages} stages" if explanation.num_stages > 1 else ""
    return f"pieces by {name}{stages}, Unicode {explanation.unicode_version}, and their merges"


def _piece(piece: Piece, explanation: Explanation, number: int, with_runners_up: bool) -> Iterator[Text]:
    line = Text("  ")
    line.append(visible(piece.text), f"bold {_TOKEN_STYLES[number % len(_TOKEN_STYLES)]}")
    line.append(f"   bytes {piece.begin} to {piece.end}")
    if piece.alternative:
        line.append(f", an {piece.alternative}" if piece.is_added else f", by: {piece.alternative}")
    yield line
    matches = [*piece.earlier, Match(piece.alternative, piece.regex, piece.stage)] if piece.regex else []
    for match in matches:
        stage = f"stage {match.stage}, {match.alternative}: " if explanation.num_stages > 1 else ""
        yield Text(f"      {stage}{match.regex}", "dim")
    if piece.is_added:
        yield Text(f"      id {piece.tokens[0].id}, found before the pattern splits the text")
    elif piece.is_whole:
        yield Text(f"      id {piece.tokens[0].id}, in the vocabulary as a whole: nothing is merged")
    else:
        yield from _trees(piece, with_runners_up)


def _trees(piece: Piece, with_runners_up: bool) -> Iterator[Text]:
    order = {id(step): place for place, step in enumerate(piece.merges, start=1)}
    lines = [line for tree in piece.trees() for line in _tree_lines(tree)]
    drawn = [(stem, visible(piece.text[node.begin : node.end]), node) for stem, node in lines]
    names_width = max((len(stem) + display_width(name) for stem, name, _ in drawn), default=0)
    token_ids = {token.id for token in piece.tokens}
    labels = [_label(node, token_ids) if not stem or node.step else "" for stem, _, node in drawn]
    labels_width = max(map(len, labels), default=0)
    for (stem, name, node), label in zip(drawn, labels, strict=True):
        line = Text("      ")
        line.append(stem, "dim")
        line.append(name, "" if stem else "bold")
        line.append(" " * (names_width - len(stem) - display_width(name) + 3) + f"{label:<{labels_width}}")
        if node.step is not None:
            step = node.step
            line.append(f"   rank {step.rank:,}", "cyan")
            line.append(f", {_ordinal(order[id(step)])} merge")
            line.append(f", {step.count:,} times in training" if step.count is not None else "", "dim")
        line.rstrip()
        yield line
        if with_runners_up and node.step is not None and node.step.runner_up is not None:
            other = node.step.runner_up
            left, right = piece.text[other.begin : other.middle], piece.text[other.middle : other.end]
            lost = ", which it prevents" if other.is_lost else ""
            indent = " " * (6 + names_width + 3 + labels_width + 3)
            yield Text(f"{indent}before {visible(left)} + {visible(right)}, rank {other.rank:,}{lost}", "dim")


def _label(node: Node, token_ids: set[int]) -> str:
    """A merge's product by its id; what is left and is no token of the piece became others, such as bytes."""
    return f"id {node.id}" if node.step is not None or node.id in token_ids else "no token of its own"


def _tree_lines(root: Node) -> Iterator[tuple[str, Node]]:
    """Each node with the strokes before it, from the top; what lies too deep is not drawn."""
    waiting = [("", "", 0, root)]
    while waiting:
        stem, below, depth, node = waiting.pop()
        yield stem, node
        if node.parts and depth < _MAX_DEPTH:
            left, right = node.parts
            waiting.append((below + "└─ ", below + "   ", depth + 1, right))
            waiting.append((below + "├─ ", below + "│  ", depth + 1, left))


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _token(token: Token, number: int, id_width: int) -> Text:
    line = Text(f"  {token.id:>{id_width}}  ")
    line.append(visible(token.text), _TOKEN_STYLES[number % len(_TOKEN_STYLES)])
    line.append(f"   bytes {token.begin} to {token.end}")
    return line


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


def sizes(num_bytes: int, num_tokens: int) -> str:
    """Write how many bytes and tokens there are."""
    return f"{num_bytes} byte{'s' * (num_bytes != 1)} in {num_tokens} token{'s' * (num_tokens != 1)}"
