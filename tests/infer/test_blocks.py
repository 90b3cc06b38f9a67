"""Blocks under any order of opening, growing, publishing and closing, beside a model that keeps texts whole."""

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from textmill.infer.blocks import BlockPool

SIZE = 2
NUM_BLOCKS = 7
texts = st.lists(st.integers(0, 1), min_size=1, max_size=12)


class Blocks(RuleBasedStateMachine):
    """What each block holds is written down as whole beginnings; what a text is given must be its own beginning.

    Of texts with different adapters none is the beginning of the other.
    """

    def __init__(self):
        super().__init__()
        self.pool = BlockPool(NUM_BLOCKS, SIZE)
        self.written = {}  # block to the beginning of a text that ends with it
        self.open_texts = {}

    opened = Bundle("opened")

    @rule(target=opened, ids=texts, adapter=st.sampled_from([None, 0, 1]))
    def open(self, ids, adapter):
        table = self.pool.open(ids, adapter=adapter)
        for number, block in enumerate(table.blocks, 1):
            assert self.written[block] == (adapter, ids[: number * SIZE])
        self.open_texts[id(table)] = table
        return table, ids, adapter

    @rule(text=opened)
    def grow_write_and_publish(self, text):
        table, ids, adapter = text
        if id(table) not in self.open_texts:
            return
        before = list(table.blocks)
        available = self.pool.num_available
        held = {block for other in self.open_texts.values() for block in other.blocks}
        if not self.pool.grow(table, len(ids)):
            assert table.blocks == before
            assert self.pool.num_available == available < self.pool.blocks_for(len(ids)) - len(before)
            return
        new = table.blocks[len(before) :]
        assert not held & set(new), "a block was lent that somebody holds"
        for number in range(len(before), len(ids) // SIZE):
            self.written[table.blocks[number]] = adapter, ids[: (number + 1) * SIZE]
        if len(ids) % SIZE:
            self.written[table.blocks[-1]] = None
        self.pool.publish(table, ids, len(ids))

    @rule(text=consumes(opened))
    def close(self, text):
        table, _, _ = text
        self.open_texts.pop(id(table), None)
        self.pool.close(table)
        assert table.blocks == []

    @invariant()
    def is_sound(self):
        self.pool.check(self.open_texts.values())


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def filled(pool, ids):
    table = pool.open(ids)
    assert pool.grow(table, len(ids))
    pool.publish(table, ids, len(ids))
    return table


def test_full_blocks_are_found_again():
    pool = BlockPool(8, 4)
    first = filled(pool, list(range(10)))
    assert pool.open(list(range(10))).blocks == first.blocks[:2]
    assert pool.open([*range(7), 99, 8, 9]).blocks == first.blocks[:1]
    assert pool.open([99, *range(1, 10)]).blocks == []


def test_only_what_is_written_is_found():
    pool = BlockPool(8, 4)
    table = pool.open([])
    pool.grow(table, 8)
    pool.publish(table, list(range(8)), 7)
    assert len(pool.open(list(range(8))).blocks) == 1


def test_the_same_tokens_after_another_beginning_are_another_block():
    pool = BlockPool(8, 2)
    filled(pool, [1, 2, 5, 6])
    other = filled(pool, [3, 4, 5, 6])
    assert pool.open([3, 4, 5, 6]).blocks == other.blocks


def test_the_lowest_free_block_comes_first_and_the_least_recently_held_is_evicted():
    pool = BlockPool(4, 2)
    old, new = filled(pool, [1, 2, 3, 4]), filled(pool, [5, 6])
    assert (old.blocks, new.blocks) == ([0, 1], [2])
    pool.close(old)
    pool.close(new)
    table = pool.open([])
    assert pool.grow(table, 2)
    assert table.blocks == [3]
    assert pool.grow(table, 4)
    assert table.blocks == [3, 1]  # the end of the older text, whose beginning is still known
    assert pool.open([1, 2, 3, 4]).blocks == [0]
    assert pool.open([5, 6]).blocks == [2]


def test_equal_texts_at_once_keep_their_own_blocks():
    pool = BlockPool(8, 2)
    tables = [pool.open([]) for _ in range(2)]
    for table in tables:
        pool.grow(table, 4)
        pool.publish(table, [1, 2, 3, 4], 4)
    assert not set(tables[0].blocks) & set(tables[1].blocks)
    assert pool.num_published == 2
    pool.close(tables[0])
    pool.close(tables[1])
    assert pool.num_available == 8
    assert pool.open([1, 2, 3, 4]).blocks == [0, 1]


def test_texts_whose_hashes_are_equal_are_kept_apart(monkeypatch):
    """Whatever hashes say, blocks are found by their tokens."""

    class Collides(bytes):
        def __hash__(self):
            return 1

    pool = BlockPool(60, 2)
    whole = pool._full_blocks
    monkeypatch.setattr(pool, "_full_blocks", lambda ids, first: map(Collides, whole(ids, first)))
    rng = random.Random(1)
    known = [rng.choices(range(5), k=4) for _ in range(15)]
    blocks = [filled(pool, ids).blocks for ids in known]
    assert [pool.open(ids).blocks for ids in known] == blocks


@pytest.mark.parametrize("num_tokens", [0, 1, 4, 5])
def test_blocks_for_tokens(num_tokens):
    assert BlockPool(4, 4).blocks_for(num_tokens) == [0, 1, 1, 1, 1, 2][num_tokens]
