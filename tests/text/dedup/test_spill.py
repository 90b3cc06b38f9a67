"""Rows come back from the parts of a file in their order, however they were added."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import DataError
from textmill.text.dedup.spill import Spill, num_parts_for

WAYS = st.fixed_dictionaries(
    {
        "num_columns": st.integers(1, 4),
        "num_parts": st.sampled_from([1, 2, 7, 300, 4096]),
        "memory_limit": st.sampled_from([1, 5_000, 200_000, 1 << 24]),
    }
)


@settings(deadline=None)
@given(sizes=st.lists(st.integers(0, 700), max_size=12), way=WAYS, seed=st.integers(0, 1 << 30))
def test_rows_come_back_in_order(tmp_path_factory, sizes, way, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path_factory.mktemp("spill") / "rows"
    spill = Spill(path, **way)
    info = np.iinfo(np.int64)
    rows = [rng.integers(info.min, info.max, (size, way["num_columns"]), np.int64) for size in sizes]
    parts = [rng.integers(0, way["num_parts"], size) for size in sizes]
    for index, (own, own_parts) in enumerate(zip(rows, parts, strict=True)):
        spill.add(own, own_parts)
        if index == len(rows) // 2:  # what is loaded in between is what there is
            check(spill, rows[: index + 1], parts[: index + 1])
    check(spill, rows, parts)
    assert spill.num_rows == sum(sizes)
    spill.close()
    assert list(path.parent.iterdir()) == []


def check(spill, rows, parts):
    every = np.concatenate([np.empty((0, spill.load(0).shape[1]), np.int64), *rows])
    place = np.concatenate([np.empty(0, np.int64), *parts])
    for part in {0, spill.num_parts - 1, *place[:50].tolist()}:
        assert spill.load(part).tolist() == every[place == part].tolist()


def test_what_is_added_at_once_is_written_in_blocks(tmp_path):
    """A row of two columns takes 18 bytes while it waits: 64 KiB of a MiB hold 3,640."""
    spill = Spill(tmp_path / "rows", 2, 3, 1 << 20)
    rows = np.arange(20_000).reshape(-1, 2)
    spill.add(rows, rows[:, 0] % 3)
    assert (tmp_path / "rows").stat().st_size == 2 * (3_640 * 16 + 4 * 8)
    assert (np.sort(np.concatenate([spill.load(part) for part in range(3)]), axis=0) == rows).all()
    spill.close()


def test_a_file_that_something_else_cuts_is_told(tmp_path):
    spill = Spill(tmp_path / "rows", 1, 2, 1 << 20)
    spill.add(np.arange(100_000).reshape(-1, 1), np.arange(100_000) % 2)
    spill.load(0)
    with (tmp_path / "rows").open("r+b") as file:
        file.truncate(100_000)
    with pytest.raises(DataError, match=r"rows is damaged \(\d+ bytes, and \d+ are needed\); .*start again"):
        spill.load(1)
    spill.close()


@given(num_bytes=st.integers(0, 1 << 50), memory_limit=st.integers(1, 1 << 40))
def test_a_part_can_be_sorted_within_the_limit(num_bytes, memory_limit):
    num_parts = num_parts_for(num_bytes, memory_limit)
    assert 1 <= num_parts <= 4096
    assert num_parts == 4096 or num_bytes / num_parts * 8 <= memory_limit
