"""Documents in rows, cut at every border or packed best-fit."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from drawing import INK, SOFT, Figure
from textmill.text.best_fit import pack_best_fit
from textmill.train.chart import COLOURS

_CONTEXT = 48
_LENGTHS = (31, 12, 40, 22, 9, 60, 17, 26, 35, 8, 20, 13, 5, 29, 18)
_TOKEN, _ROW = 6.2, 24
_LEFT, _GAP = 40, 330


def rows() -> Figure:
    """The same fifteen documents in rows of 48 tokens, by both ways."""
    packed = pack_best_fit(np.array(_LENGTHS), np.zeros(len(_LENGTHS), np.uint8), _CONTEXT)
    of_row = np.repeat(np.arange(len(packed.row_pieces) - 1), np.diff(packed.row_pieces))
    best_fit = zip(of_row.tolist(), packed.documents.tolist(), packed.lengths.tolist(), strict=True)
    num_rows = len(packed.row_pieces) - 1
    figure = Figure("Documents in rows, cut at every border and packed best-fit", 90 + num_rows * _ROW)
    _rows(figure, _LEFT, "concat", num_rows, _windows())
    _rows(figure, _LEFT + _GAP, "best-fit", num_rows, best_fit)
    return figure


def _windows() -> Iterable[tuple[int, int, int]]:
    """Row, document and tokens of each piece, where the stream of documents is cut into rows."""
    place = 0
    for document, length in enumerate(_LENGTHS):
        end = place + length
        while place < end:
            border = min(end, (place // _CONTEXT + 1) * _CONTEXT)
            yield place // _CONTEXT, document, border - place
            place = border


def _rows(figure: Figure, left: float, name: str, num_rows: int, pieces: Iterable[tuple[int, int, int]]) -> None:
    filled = [0] * num_rows
    num_pieces = [0] * len(_LENGTHS)
    for row in range(num_rows):
        figure.box(left, 44 + row * _ROW, _CONTEXT * _TOKEN, 20, fill="#ffffff", stroke=SOFT)
    for row, document, length in pieces:
        x, y = left + filled[row] * _TOKEN, 44 + row * _ROW
        num_pieces[document] += 1
        is_rest = num_pieces[document] > 1
        figure.box(x + 0.5, y + 0.5, length * _TOKEN - 1, 19, fill=COLOURS[4] if is_rest else "#a9cde3")
        if length > 2:
            figure.text(x + length * _TOKEN / 2, y + 15, str(document + 1), size=11, anchor="middle", fill=INK)
        filled[row] += length
    num_cut = sum(count > 1 for count in num_pieces)
    num_padding = sum(_CONTEXT - n for n in filled if n) if name == "best-fit" else 0
    figure.text(left, 30, name, size=14)
    what = f"{num_cut} documents are cut" if num_cut > 1 else f"{num_cut} is cut: no row holds it"
    rest = f"{num_padding} places stay empty" if num_padding else "the stream goes on"
    figure.text(left, 68 + num_rows * _ROW, f"{what}; {rest}", size=12, fill=SOFT)
