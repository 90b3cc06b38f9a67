"""Who holds which block of the KV cache, and which blocks hold the beginning of a text that may come again.

A block keeps the keys and values of ``block_size`` tokens of one text. Blocks that are full and written are published:
another text with the same beginning takes them as they are. Nobody has to give them back for that: blocks that no text
holds stay published until their place is needed, the least recently held first.

A published block is found by its parent and its tokens, compared whole: the parent by a number that is given once and
never again. So there is no hash that could stand for two texts, and a block's beginning is the text's, token for token.
The parent of a first block stands for the adapter that changes the model for the text: keys and values depend on it.
"""

from __future__ import annotations

import dataclasses
import heapq
from array import array
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypeAlias

_Key: TypeAlias = tuple[int, bytes]
_BEGINNING = 0
"""The parent of a text's first block; of one with adapter n it is -1 - n."""

Change: TypeAlias = Literal["take", "share", "publish", "give", "keep", "leave", "evict", "preempt", "finish", "reset"]
OnChange: TypeAlias = Callable[[Change, int | None, int | None], object]
"""Hears what happens to a block, and for whose text: by the number of the block, and of the answer.

``take``: a block is lent; ``share``: a published one, to one more text; ``publish``: it is full and can be found;
``give``, ``keep``, ``leave``: a text gives it back, and it is free, stays published, or is held by others still;
``evict``: what a published one holds is forgotten. Of answers: ``preempt``, ``finish``; of all there is: ``reset``.
"""


@dataclasses.dataclass(slots=True, eq=False)
class BlockTable:
    """One text's blocks in the order of its tokens; ``BlockPool`` makes and changes it.

    Attributes:
        blocks: their numbers.
        num_published: how many of the first of them are published, or are the same as published ones.
        parent: the number under which the last of those is known.
        owner: the number of the answer whose text it is, for whoever watches.
    """

    blocks: list[int]
    num_published: int = 0
    parent: int = _BEGINNING
    owner: int | None = None


class BlockPool:
    """All blocks of a runner: lent to texts, published, or free.

    Attributes:
        on_change: hears of every change, where somebody watches; it must neither fail nor take long.
    """

    def __init__(self, num_blocks: int, block_size: int, on_change: OnChange | None = None) -> None:
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.on_change = on_change
        self._num_holders = [0] * num_blocks
        self._free = list(range(num_blocks))  # a heap: the lowest first, so memory is touched only when it is needed
        self._unheld: OrderedDict[int, None] = OrderedDict()  # published ones, the least recently held first
        self._published: dict[_Key, tuple[int, int]] = {}  # to the block and its number as a parent
        self._keys: dict[int, _Key] = {}  # of published blocks
        self._num_parents = _BEGINNING

    @property
    def num_available(self) -> int:
        """How many blocks can be lent, those of them included that are published and that nobody holds."""
        return len(self._free) + len(self._unheld)

    @property
    def num_published(self) -> int:
        """How many blocks can be found by another text."""
        return len(self._keys)

    @property
    def num_kept(self) -> int:
        """How many of those no text holds."""
        return len(self._unheld)

    def held(self) -> dict[int, int]:
        """How many texts hold each block that any does."""
        return {block: num_holders for block, num_holders in enumerate(self._num_holders) if num_holders}

    def kept(self) -> list[int]:
        """The published blocks that no text holds, those first that are evicted first."""
        return list(self._unheld)

    def blocks_for(self, num_tokens: int) -> int:
        """How many blocks so many tokens take."""
        return -(-num_tokens // self.block_size)

    def open(self, ids: Sequence[int], owner: int | None = None, adapter: int | None = None) -> BlockTable:
        """Begin a text with the published blocks that hold its beginning, as many as are full of ``ids``."""
        table = BlockTable([], parent=_BEGINNING if adapter is None else -1 - adapter, owner=owner)
        for key_ids in self._full_blocks(ids, 0):
            found = self._published.get((table.parent, key_ids))
            if found is None:
                break
            block, table.parent = found
            self._hold(block)
            table.blocks.append(block)
            self._tell("share", block, owner)
        table.num_published = len(table.blocks)
        return table

    def grow(self, table: BlockTable, num_tokens: int) -> bool:
        """Lend a text blocks for ``num_tokens`` tokens in all; False, and nothing changes, where there are too few."""
        num_missing = self.blocks_for(num_tokens) - len(table.blocks)
        if num_missing > self.num_available:
            return False
        for _ in range(num_missing):
            block = self._take()
            self._num_holders[block] = 1
            table.blocks.append(block)
            self._tell("take", block, table.owner)
        return True

    def publish(self, table: BlockTable, ids: Sequence[int], num_written: int) -> None:
        """Make a text's full blocks known, of whose tokens ``ids`` the first ``num_written`` have been written.

        Where another text has published the same tokens, its block stays the known one, and this text keeps its own.
        """
        if num_written < (table.num_published + 1) * self.block_size:
            return
        for key_ids in self._full_blocks(ids[:num_written], table.num_published):
            key = (table.parent, key_ids)
            if key not in self._published:
                block = table.blocks[table.num_published]
                self._num_parents += 1
                self._published[key] = (block, self._num_parents)
                self._keys[block] = key
                self._tell("publish", block, table.owner)
            table.parent = self._published[key][1]
            table.num_published += 1

    def close(self, table: BlockTable) -> None:
        """Take a text's blocks back. Its last ones will be reused first: beginnings are what texts share."""
        while table.blocks:
            block = table.blocks.pop()
            self._num_holders[block] -= 1
            if self._num_holders[block]:
                self._tell("leave", block, table.owner)
            elif block in self._keys:
                self._unheld[block] = None
                self._tell("keep", block, table.owner)
            else:
                heapq.heappush(self._free, block)
                self._tell("give", block, table.owner)
        table.num_published, table.parent = 0, _BEGINNING

    def check(self, tables: Iterable[BlockTable]) -> None:
        """Assert that every block is lent to exactly those tables that have it, or unheld, or free."""
        held = Counter(block for table in tables for block in table.blocks)
        assert [held[block] for block in range(self.num_blocks)] == self._num_holders
        assert len(set(self._free)) == len(self._free)
        assert {*held, *self._unheld, *self._free} == set(range(self.num_blocks))
        assert len(held) + len(self._unheld) + len(self._free) == self.num_blocks
        assert self._unheld.keys() <= self._keys.keys()
        assert not self._keys.keys() & set(self._free)
        assert {key: block for block, key in self._keys.items()} == {k: b for k, (b, _) in self._published.items()}

    def _hold(self, block: int) -> None:
        self._num_holders[block] += 1
        self._unheld.pop(block, None)

    def _take(self) -> int:
        if self._free:
            return heapq.heappop(self._free)
        block, _ = self._unheld.popitem(last=False)
        del self._published[self._keys.pop(block)]
        self._tell("evict", block, None)
        return block

    def _tell(self, change: Change, block: int, owner: int | None) -> None:
        if self.on_change is not None:
            self.on_change(change, block, owner)

    def _full_blocks(self, ids: Sequence[int], first: int) -> Iterable[bytes]:
        """The tokens of each full block from the ``first`` on, as bytes: Python salts the hashes of those."""
        for end in range((first + 1) * self.block_size, len(ids) + 1, self.block_size):
            yield array("q", ids[end - self.block_size : end]).tobytes()
