"""Merging symbols that stand side by side, one merge at a time, so that each can be looked at.

A symbol is what is merged: a token by its id and, over characters, a character that is no token, by a number beyond
the last id. A character or byte that nothing merges is ``NO_SYMBOL``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

NO_SYMBOL = (1 << 32) - 1


@dataclass(frozen=True, slots=True, order=True)
class Merge:
    """Two symbols that become a third; the lowest rank is applied first."""

    rank: int
    left: int
    right: int
    product: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A symbol at its place: bytes ``begin`` to ``end`` of a piece."""

    id: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Join:
    """A merge carried out: two neighbours, and the merge of the next best pair at that moment, where there was one."""

    merge: Merge
    left: Symbol
    right: Symbol
    runner_up: tuple[Merge, Symbol, Symbol] | None


def joins(start: Sequence[Symbol], find: Callable[[int, int], Merge | None]) -> Iterator[Join]:
    """Merge neighbours, the lowest rank first and the leftmost of equals, in O(n log n).

    Args:
        start: what stands side by side before anything is merged.
        find: the merge of two symbols by their ids, None where there is none.
    """
    symbols: list[Symbol | None] = list(start)
    before = [at - 1 for at in range(len(symbols))]
    after = [at + 1 for at in range(len(symbols))]
    heap: list[tuple[int, int, int, Merge]] = []

    def push(at: int) -> None:
        if at >= 0 and after[at] < len(symbols):
            left, right = symbols[at], symbols[after[at]]
            assert left is not None and right is not None  # noqa: PT018
            merge = find(left.id, right.id)
            if merge is not None:
                heapq.heappush(heap, (merge.rank, at, after[at], merge))

    def pair(entry: tuple[int, int, int, Merge]) -> tuple[Merge, Symbol, Symbol] | None:
        _, at, next_at, merge = entry
        left = symbols[at]
        right = symbols[next_at] if after[at] == next_at else None
        if left is None or right is None or (left.id, right.id) != (merge.left, merge.right):
            return None
        return merge, left, right

    for at in range(len(symbols)):
        push(at)
    while heap:
        entry = heapq.heappop(heap)
        found = pair(entry)
        if found is None:
            continue
        while heap and pair(heap[0]) is None:
            heapq.heappop(heap)
        merge, left, right = found
        yield Join(merge, left, right, pair(heap[0]) if heap else None)
        _, at, next_at, _ = entry
        symbols[at], symbols[next_at] = Symbol(merge.product, left.begin, right.end), None
        after[at] = after[next_at]
        if after[at] < len(symbols):
            before[after[at]] = at
        push(before[at])
        push(at)


def joined(start: Sequence[Symbol], made: Iterable[Join]) -> list[Symbol]:
    """Return what is left of symbols after merges, from left to right."""
    left = {symbol.begin: symbol for symbol in start}
    for join in made:
        del left[join.right.begin]
        left[join.left.begin] = Symbol(join.merge.product, join.left.begin, join.right.end)
    return [left[begin] for begin in sorted(left)]
