"""The twin of ``best_fit`` in plain Python: the row that fits is searched for among all of them."""

from __future__ import annotations

from collections.abc import Sequence

Piece = tuple[int, int, int]


def pack_best_fit(lengths: Sequence[int], overheads: Sequence[int], context: int) -> list[list[Piece]]:
    """Pack documents into rows; returns pieces (document, offset, length) of each row."""
    full: list[list[Piece]] = []
    rest: list[tuple[int, Piece]] = []
    for document, (length, overhead) in enumerate(zip(lengths, overheads, strict=True)):
        offset, room = 0, context - overhead
        while length - offset >= room:
            full.append([(document, offset, room)])
            offset += room
        if offset < length:
            rest.append((length - offset + overhead, (document, offset, length - offset)))
    packed: list[list[Piece]] = []
    spaces: list[int] = []
    touched: list[int] = []  # when each row got the space that it has
    for now, (size, piece) in enumerate(sorted(rest, key=lambda item: -item[0])):
        fitting = [row for row, space in enumerate(spaces) if space >= size]
        if fitting:
            row = min(fitting, key=lambda row: (spaces[row], -touched[row]))
        else:
            row = len(packed)
            packed.append([])
            spaces.append(context)
            touched.append(0)
        packed[row].append(piece)
        spaces[row] -= size
        touched[row] = now
    return full + [sorted(row) for row in packed]
