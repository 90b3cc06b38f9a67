"""Stages go on where those before left off, and steps that are skipped are skipped for good."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.token_set import token_set
from textmill.base.errors import ConfigError
from textmill.data.loader import BatchLoader
from textmill.data.stages import DataStage, SkippedSteps, StagedLoader


@pytest.fixture
def sets(tmp_path):
    return {name: token_set(tmp_path / name, [30, 5, 17, 40] * 30, source=name) for name in ("a", "b")}


def stage(num_steps, mixture, **options):
    return DataStage(num_steps=num_steps, mixture=mixture, **{"rows": 4, "context": 16, **options})


@settings(deadline=None, max_examples=60)
@given(ranges=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=5))
def test_a_step_is_the_next_that_is_not_skipped(ranges):
    ranges = [(first, first + length) for first, length in ranges]
    skipped = {step for first, end in ranges for step in range(first, end)}
    expected = [step for step in range(200) if step not in skipped]
    assert [SkippedSteps(ranges).data_step(step) for step in range(100)] == expected[:100]


@pytest.mark.parametrize("wrong", [(5, 5), (5, 3), (-1, 4)])
def test_stretches_that_are_none(wrong):
    with pytest.raises(ConfigError, match="skip_steps has"):
        SkippedSteps([wrong])


def test_one_stage_is_a_loader(sets):
    staged = StagedLoader(sets, [stage(50, {"a": 0.5, "b": 0.5})], seed=1)
    plain = BatchLoader(sets, {"a": 0.5, "b": 0.5}, rows=4, context=16, seed=1)
    assert all((staged.batch(step).inputs == plain.batch(step).inputs).all() for step in (0, 7, 49))
    with pytest.raises(ConfigError, match="50 steps, counted from 0, and no step 50"):
        staged.batch(50)


def test_skipped_data_is_not_seen_and_the_rest_is(sets):
    plain = StagedLoader(sets, [stage(60, {"a": 1})], seed=1)
    skipping = StagedLoader(sets, [stage(60, {"a": 1})], seed=1, skip_steps=[(10, 15), (20, 21)])
    for step, data_step in ((9, 9), (10, 15), (14, 19), (15, 21), (40, 46)):
        assert (skipping.batch(step).inputs == plain.batch(data_step).inputs).all()
        assert skipping.find(step) == (0, data_step)


@pytest.mark.parametrize("packing", ["concat", "best-fit"])
@pytest.mark.parametrize("skip_steps", [(), ((3, 9),), ((8, 12),), ((3, 5), (14, 30))])
def test_an_epoch_goes_on_in_the_next_stage(sets, packing, skip_steps):
    """With one context and packing, the rows of a source over two stages are its rows in turn, less those skipped."""
    options = {"packing": packing, "rows": 2}
    stages = [stage(10, {"a": 1}, **options), stage(30, {"a": 0.5, "b": 0.5}, **options)]
    staged = StagedLoader(sets, stages, seed=1, skip_steps=skip_steps)
    in_turn = BatchLoader(sets, {"a": 1}, rows=1, context=16, seed=1, packing=packing)
    data_steps = [SkippedSteps(skip_steps).data_step(step) for step in range(40)]
    border = data_steps[9] + 1
    # The first stage takes two rows of this source a step, the second one.
    expected = [2 * step + row for step in data_steps[:10] for row in range(2)]
    expected += [2 * border + step - border for step in data_steps[10:]]
    batches = [staged.batch(step) for step in range(40)]
    rows = [row for batch in batches for row, name in zip(batch.inputs, batch.sources, strict=True) if name == "a"]
    assert len(rows) == len(expected)
    for row, place in zip(rows, expected, strict=True):
        assert row.tolist() == in_turn.batch(place).inputs[0].tolist()


def test_another_context_goes_on_at_the_same_share_of_the_epoch(sets):
    first, second = stage(20, {"a": 1}), stage(20, {"a": 1}, context=32)
    staged = StagedLoader(sets, [first, second], seed=1)
    narrow = BatchLoader(sets, {"a": 1}, rows=4, context=16, seed=1).rows_per_epoch["a"]
    wide = BatchLoader(sets, {"a": 1}, rows=4, context=32, seed=1)
    epoch, within = divmod(80, narrow)
    start = epoch * wide.rows_per_epoch["a"] + within * wide.rows_per_epoch["a"] // narrow
    wide.start_at({"a": start})
    assert (staged.batch(25).inputs == wide.batch(5).inputs).all()
    assert staged.batch(25).inputs.shape == (4, 32)


def test_ranks_of_stages(sets):
    staged = StagedLoader(sets, [stage(5, {"a": 1}), stage(5, {"b": 1}, rows=6)], seed=1)
    whole = staged.batch(7)
    parts = [staged.batch(7, rank, 3).inputs for rank in range(3)]
    assert (np.concatenate(parts) == whole.inputs).all()


@pytest.mark.parametrize("stages", [[], [stage(0, {"a": 1})]])
def test_no_steps(sets, stages):
    with pytest.raises(ConfigError, match="at least one stage|must have 1 or more"):
        StagedLoader(sets, stages, seed=1)
