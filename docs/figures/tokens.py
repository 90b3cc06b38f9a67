"""A line of text on its way to ids: characters, bytes, pieces, merges."""

from __future__ import annotations

from pathlib import Path

import textmill.studio.example
from drawing import INK, SOFT, Figure
from textmill.checkpoint.gguf_model import open_gguf
from textmill.tokenizer.explanation import Explanation, Piece
from textmill.train.chart import COLOURS

TEXT = "naïve self.don't"
_LEFT, _CELL = 88, 36


def line() -> Figure:
    """``TEXT`` through the tokenizer of the studio's small model, a row for each step."""
    stored = open_gguf(Path(textmill.studio.example.__file__).parent / "model.gguf")
    told = stored.load_tokenizer().explain(TEXT)
    most = max(len(piece.merges) for piece in told.pieces)
    figure = Figure("A line of text as characters, bytes, pieces, merges and ids", 182 + 30 * most)
    _characters(figure, told)
    for number, piece in enumerate(told.pieces):
        _spans(figure, 84, [(piece.begin, piece.end, piece.text)], "#e9eef3" if number % 2 else "#d5e2ee")
        _merges(figure, 116, piece)
    ids = 126 + 30 * most
    for token in told.tokens:
        _spans(figure, ids, [(token.begin, token.end, str(token.id).encode())], COLOURS[4])
    for y, name in ((40, "text"), (70, "UTF-8"), (100, "pieces"), (132, "merges"), (ids + 16, "ids")):
        figure.text(_LEFT - 12, y, name, anchor="end", fill=SOFT)
    return figure


def _characters(figure: Figure, told: Explanation) -> None:
    for character in told.characters:
        width = len(character.utf8) * _CELL
        figure.text(_x(character.begin) + width / 2, 40, _shown(character.utf8), anchor="middle", size=16)
        for place, byte in enumerate(character.utf8):
            figure.text(_x(character.begin + place) + _CELL / 2, 70, f"{byte:02x}", anchor="middle", size=12)


def _merges(figure: Figure, top: float, piece: Piece) -> None:
    """A row for each merge, in their order, with its rank."""
    for row, step in enumerate(piece.merges):
        x, end = _x(piece.begin + step.begin), _x(piece.begin + step.end)
        figure.box(x + 1, top + row * 30, end - x - 2, 24, fill="#ffffff", stroke=COLOURS[2])
        text = f"{_shown(piece.text[step.begin : step.end])} {step.rank}"
        figure.text((x + end) / 2, top + row * 30 + 16, text, anchor="middle", size=12)


def _spans(figure: Figure, y: float, spans: list[tuple[int, int, bytes]], fill: str) -> None:
    for begin, end, text in spans:
        figure.box(_x(begin) + 1, y, _x(end) - _x(begin) - 2, 24, fill=fill)
        figure.text((_x(begin) + _x(end)) / 2, y + 16, _shown(text), anchor="middle", size=12, fill=INK)


def _x(byte: int) -> float:
    return _LEFT + byte * _CELL


def _shown(text: bytes) -> str:
    return text.decode(errors="backslashreplace").replace(" ", "·")
