"""Three texts in the blocks of a KV cache."""

from __future__ import annotations

from drawing import INK, SOFT, Figure
from textmill.infer.blocks import BlockPool, BlockTable
from textmill.train.chart import COLOURS

_SIZE = 16
_LEFT, _CELL, _ROW = 150, 60, 46


def shared() -> Figure:
    """Blocks of three texts, of which two begin alike, and the pool that they come from."""
    pool = BlockPool(num_blocks=9, block_size=_SIZE)
    beginning = list(range(40))
    texts = {"A": beginning + [101] * 18, "B": [200] * 21, "C": beginning + [303] * 7}
    tables = {}
    for name, ids in texts.items():
        tables[name] = pool.open(ids)
        assert pool.grow(tables[name], len(ids))
        pool.publish(tables[name], ids, num_written=len(ids))
    held = pool.held()
    figure = Figure("Three texts in blocks of 16 tokens, two of them shared", 254)
    for row, (name, ids) in enumerate(texts.items()):
        figure.text(_LEFT - 14, 46 + row * _ROW, f"text {name}, {len(ids)} tokens", anchor="end")
        _text(figure, 26 + row * _ROW, len(ids), tables[name], held)
    y = 26 + len(texts) * _ROW + 20
    figure.line([(20, y - 14), (700, y - 14)], stroke=SOFT, width=1, dash="4 3")
    figure.text(_LEFT - 14, y + 20, "the cache", anchor="end")
    for block in range(pool.num_blocks):
        holders = [name for name, table in tables.items() if block in table.blocks]
        filled = _filled(len(texts[holders[0]]), tables[holders[0]].blocks.index(block)) if holders else 0.0
        _cell(figure, _LEFT + block * _CELL, y, block, filled, is_shared=len(holders) > 1)
        under = " and ".join(holders) or "free"
        figure.text(_LEFT + block * _CELL + 26, y + 48, under, size=12, anchor="middle", fill=SOFT)
    return figure


def _text(figure: Figure, y: float, num_tokens: int, table: BlockTable, held: dict[int, int]) -> None:
    for place, block in enumerate(table.blocks):
        _cell(figure, _LEFT + place * _CELL, y, block, _filled(num_tokens, place), is_shared=held[block] > 1)


def _filled(num_tokens: int, place: int) -> float:
    """How much of a text's block at this place is written."""
    return min(1.0, (num_tokens - place * _SIZE) / _SIZE)


def _cell(figure: Figure, x: float, y: float, block: int, filled: float, *, is_shared: bool) -> None:
    """A block, its number, and how much of it is written."""
    figure.box(x, y, 52, 30, fill="#ffffff")
    if filled:
        figure.box(x, y, 52 * filled, 30, fill=COLOURS[4] if is_shared else "#a9cde3")
    figure.box(x, y, 52, 30, fill="none", stroke=INK if filled else SOFT)
    figure.text(x + 26, y + 20, str(block), anchor="middle")
