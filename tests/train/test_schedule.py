"""Warmup, stable, decay: a pure function of the step."""

from itertools import pairwise

import pytest

from textmill.train.recipe_tables.steps import ScheduleTable
from textmill.train.schedule import learning_rate_factor


def factors(num_steps, **table):
    return [learning_rate_factor(ScheduleTable(**table), step, num_steps) for step in range(num_steps)]


def test_the_shape():
    assert factors(10, warmup_steps=3, decay_fraction=0.3) == pytest.approx(
        [0.25, 0.5, 0.75, 1, 1, 1, 1, 0.75, 0.5, 0.25]
    )


def test_without_warmup_and_decay_it_is_flat():
    assert factors(5, warmup_steps=0, decay_fraction=0) == [1.0] * 5


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7])
def test_a_run_shorter_than_its_warmup_still_moves(num_steps):
    values = factors(num_steps, warmup_steps=20, decay_fraction=1.0)
    assert all(0 < value <= 1 for value in values)


def test_one_minus_the_root_falls_faster_at_first():
    linear = factors(100, warmup_steps=0, decay_fraction=0.5)
    root = factors(100, warmup_steps=0, decay_fraction=0.5, decay="1-sqrt")
    assert linear[:49] == root[:49] == [1.0] * 49
    assert all(0 < r < line for line, r in zip(linear[50:], root[50:], strict=True))
    # Progress is (step - 49) / 51: a quarter of it leaves a half.
    assert learning_rate_factor(ScheduleTable(warmup_steps=0, decay_fraction=0.03, decay="1-sqrt"), 98, 100) == (
        pytest.approx(1 - 0.5**0.5)
    )


def test_cosine_goes_from_the_peak_to_a_tenth():
    values = factors(103, kind="cosine", warmup_steps=2)
    assert values[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert values[52] == pytest.approx(0.55)
    assert values[-1] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(values[2:]))


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7])
def test_a_cosine_shorter_than_its_warmup_still_moves(num_steps):
    assert all(0 < value <= 1 for value in factors(num_steps, kind="cosine", warmup_steps=20))
