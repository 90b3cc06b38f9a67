"""Rows are dealt to sources by weight, as a pure function of their numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import ConfigError
from textmill.data.mixture import BLOCK_ROWS, Mixture

# The least share, 0.01 of 300, is above the 1 in 65,536 that is dealt at all.
weights = st.dictionaries(
    st.sampled_from(["web", "code", "math", "books"]), st.floats(0.01, 100), min_size=1, max_size=4
)


@settings(deadline=None, max_examples=30)
@given(weights=weights, start=st.integers(0, 3 * BLOCK_ROWS), length=st.integers(1, 3000))
def test_any_stretch_is_mixed_by_weight(weights, start, length):
    mixture = Mixture(weights)
    source, _ = mixture.deal(np.arange(start, start + length))
    total = sum(weights.values())
    for number, name in enumerate(mixture.names):
        assert abs((source == number).sum() - length * weights[name] / total) <= 2 + length / 16_384


def test_each_source_counts_its_own_rows():
    mixture = Mixture({"a": 0.7, "b": 0.3})
    source, place = mixture.deal(np.arange(2 * BLOCK_ROWS + 100))
    for number in range(2):
        assert place[source == number].tolist() == list(range(int((source == number).sum())))


def test_rows_do_not_depend_on_how_they_are_asked_for():
    mixture = Mixture({"a": 1, "b": 2, "c": 3})
    source, place = mixture.deal(np.arange(500))
    for row in (0, 17, 499):
        assert [int(x[0]) for x in mixture.deal(np.array([row]))] == [source[row], place[row]]


def test_shares_are_the_weights():
    assert Mixture({"a": 3, "b": 1, "off": 0}).shares == {"a": 0.75, "b": 0.25}


@pytest.mark.parametrize("weights", [{"a": -1.0}, {"a": float("nan")}, {"a": float("inf")}])
def test_a_weight_that_is_none(weights):
    with pytest.raises(ConfigError, match='weight of "a" in the mixture'):
        Mixture(weights)


def test_all_weights_zero():
    with pytest.raises(ConfigError, match="are all 0"):
        Mixture({"a": 0.0})
