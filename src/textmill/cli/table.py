"""Tables that fit the terminal: what does not is shortened, then left out, the least needed first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        is_text: text stands on the left, figures on the right.
        least: to how many cells it may be cut; None where its cells stay whole.
        rank: the column with the highest rank is left out first; those of rank 0 stay.
    """

    title: str
    is_text: bool = False
    least: int | None = None
    rank: int = 0


def draw_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Draw a heading and rows in lines of at most ``width`` cells, as far as what must stay allows it."""
    kept = list(range(len(columns)))
    widths = [
        max(cell_len(column.title), *(cell_len(row[i]) for row in rows)) if rows else cell_len(column.title)
        for i, column in enumerate(columns)
    ]
    while True:
        over = sum(widths[i] for i in kept) + len(_GAP) * (len(kept) - 1) - width
        give = sum(max(0, widths[i] - _least(columns[i], widths[i])) for i in kept)
        droppable = [i for i in kept if columns[i].rank]
        if over <= give or not droppable:
            break
        kept.remove(max(droppable, key=lambda i: columns[i].rank))
    for i in kept:
        less = min(max(over, 0), max(0, widths[i] - _least(columns[i], widths[i])))
        widths[i] -= less
        over -= less
    lines = [[column.title for column in columns], *rows]
    return [_GAP.join(_cell(line[i], columns[i], widths[i]) for i in kept).rstrip() for line in lines]


def _least(column: Column, width: int) -> int:
    return width if column.least is None else max(column.least, cell_len(column.title))


def _cell(text: str, column: Column, width: int) -> str:
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    space = " " * (width - length)
    return text + space if column.is_text else space + text
