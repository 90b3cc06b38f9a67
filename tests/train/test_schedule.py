"""Warmup, stable, decay: a pure function of the step."""

import pytest

from textmill.train.recipe import ScheduleTable
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
