"""The shuffle without memory is a shuffle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.data import reference_permutation
from textmill.data.permutation import hash_key, keyed_numbers, permute


@settings(deadline=None, max_examples=50)
@given(size=st.integers(1, 5000), key=st.integers(0, 2**64 - 1))
def test_each_place_comes_once(size, key):
    assert sorted(permute(np.arange(size), size, key).tolist()) == list(range(size))


def test_elements_are_placed_alone_as_together():
    together = permute(np.arange(1000), 1000, 7)
    assert [int(permute(np.array([i]), 1000, 7)[0]) for i in range(1000)] == together.tolist()


def test_the_order_is_pinned():
    """A resumed run must see the order of the first: these numbers may never change."""
    assert hash_key(1, "web", 0, "order") == 2308914448546963222
    assert permute(np.arange(10), 10, 42).tolist() == [8, 4, 6, 0, 9, 7, 3, 1, 2, 5]


@pytest.mark.parametrize("size", [1000, 4096])
def test_orders_look_random(size):
    """Mean displacement of a random permutation is size / 3; six standard deviations over 20 keys are allowed."""
    distances = [np.abs(permute(np.arange(size), size, key) - np.arange(size)).mean() / size for key in range(20)]
    assert abs(np.mean(distances) - 1 / 3) < 0.02
    assert len({tuple(permute(np.arange(size), size, key)[:8]) for key in range(20)}) == 20


@settings(deadline=None, max_examples=50)
@given(size=st.integers(1, 2**40), key=st.integers(0, 2**64 - 1), data=st.data())
def test_places_are_the_twins(size, key, data):
    index = np.array(data.draw(st.lists(st.integers(0, size - 1), max_size=20)), np.int64)
    assert permute(index, size, key).tolist() == reference_permutation.permute(index, size, key).tolist()


@pytest.mark.parametrize(("index", "size"), [(5, 5), (-1, 5), (0, 0)])
def test_numbers_outside_the_range(index, size):
    with pytest.raises(ValueError):
        permute(np.array([index]), size, 1)


def test_keyed_numbers_look_random():
    shares = keyed_numbers(np.arange(10_000), 3).astype(np.float64) / 2**64
    assert abs(shares.mean() - 0.5) < 0.02
    assert (keyed_numbers(np.arange(10), 3) != keyed_numbers(np.arange(10), 4)).all()
