"""Batches with masks and packing: every token a target once an epoch, documents apart, any rank's rows alone."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.token_set import END, token_set
from textmill.base.errors import ConfigError, DataError
from textmill.data.loader import BatchLoader
from textmill.data.prefetch import prefetch
from textmill.data.shards import ShardSet

LENGTHS = [30, 5, 17, 40, 8, 2, 2, 61, 1, 23] * 4
CONTEXT = 24


def loader(sets, mixture=None, **options):
    options = {"rows": 4, "context": CONTEXT, "seed": 1, "packing": "best-fit", "document_masks": True, **options}
    return BatchLoader(sets, mixture or {"a": 1}, **options)


@pytest.fixture
def sets(tmp_path):
    return {
        "a": token_set(tmp_path / "a", LENGTHS, file_documents=7, source="a"),
        "b": token_set(tmp_path / "b", LENGTHS[::-1], source="b"),
    }


def check_segments(batch, ids):
    """Each segment is a stretch of the stream, after the token that stands before it there."""
    for row in range(len(batch.inputs)):
        for number in range(int(batch.segments[row].max()) + 1):
            at = np.flatnonzero(batch.segments[row] == number)
            assert (np.diff(at) == 1).all()
            assert batch.positions[row, at].tolist() == list(range(len(at)))
            targets = batch.targets[row, at]
            if (targets == -100).any():
                assert (targets == -100).all()
                assert (batch.inputs[row, at] == END).all()
                continue
            place = (
                int(np.flatnonzero(ids == targets[targets != END][0])[0]) - (targets != END).argmax()
                if (targets != END).any()
                else None
            )
            assert (batch.inputs[row, at[1:]] == targets[:-1]).all()
            assert not (targets[:-1] == END).any()
            if place is not None:
                assert (ids[place : place + len(at)] == targets).all()
                assert batch.inputs[row, at[0]] == (ids[place - 1] if place else END)


def stream(lengths):
    ids = np.arange(1, sum(lengths) + 1)
    ids[np.cumsum(lengths) - 1] = END
    return ids


@settings(deadline=None, max_examples=20)
@given(
    lengths=st.lists(st.integers(1, 80), min_size=1, max_size=40),
    context=st.integers(4, 60),
    rows=st.integers(1, 5),
    seed=st.integers(0, 9),
)
def test_every_token_is_a_target_once_an_epoch(tmp_path_factory, lengths, context, rows, seed):
    shards = token_set(tmp_path_factory.mktemp("set"), lengths, file_documents=5)
    packed = loader({"a": shards}, rows=rows, context=context, seed=seed)
    num_rows = packed.rows_per_epoch["a"]
    batches = [packed.batch(step) for step in range(2 * num_rows)]
    targets = np.concatenate([batch.targets for batch in batches])
    ids = stream(lengths)
    for epoch in range(2):
        seen = targets[epoch * num_rows : (epoch + 1) * num_rows]
        assert sorted(seen[seen != -100].tolist()) == sorted(ids.tolist())
    check_segments(batches[0], ids)
    assert (batches[0].loss_mask == (batches[0].targets != -100)).all()


def test_documents_of_windows_are_apart_too(sets):
    plain = loader(sets, packing="concat", document_masks=False).batch(3)
    masked = loader(sets, packing="concat").batch(3)
    assert (plain.inputs == masked.inputs).all()
    assert (plain.targets == masked.targets).all()
    assert plain.positions is None
    assert plain.segments is None
    check_segments(masked, stream(LENGTHS))
    assert ((masked.inputs == END) <= (masked.positions == 0)).all()
    ends = masked.cumulative_lengths
    assert ends[0] == 0
    assert ends[-1] == masked.inputs.size
    assert (masked.positions.reshape(-1)[ends[:-1]] == 0).all()


@pytest.mark.parametrize("packing", ["concat", "best-fit"])
@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_ranks_together_make_the_batch(sets, packing, world_size):
    mixed = loader(sets, {"a": 0.7, "b": 0.3}, rows=6, packing=packing)
    for step in (0, 11, 5000):
        whole = mixed.batch(step)
        parts = [mixed.batch(step, rank, world_size) for rank in range(world_size)]
        for name in ("inputs", "targets", "positions", "segments"):
            assert (np.concatenate([getattr(part, name) for part in parts]) == getattr(whole, name)).all()
        assert tuple(name for part in parts for name in part.sources) == whole.sources


def test_rows_that_ranks_cannot_share(sets):
    with pytest.raises(ConfigError, match="4 rows cannot be shared by 3 ranks"):
        loader(sets).batch(0, 1, 3)


def test_any_step_is_made_alone_as_in_turn_and_ahead(sets):
    mixed = loader(sets, {"a": 0.5, "b": 0.5})
    in_turn = [mixed.batch(step) for step in range(30)]
    for step in (29, 3, 17):
        again = loader({name: ShardSet(shards.folder) for name, shards in sets.items()}, {"a": 0.5, "b": 0.5})
        assert (again.batch(step).inputs == in_turn[step].inputs).all()
    for threads in (1, 3):
        ahead = list(prefetch(mixed.batch, range(30), depth=4, threads=threads))
        assert all((one.inputs == other.inputs).all() for one, other in zip(ahead, in_turn, strict=True))


@pytest.mark.parametrize("packing", ["concat", "best-fit"])
def test_a_loader_goes_to_another_process(sets, packing):
    mixed = loader(sets, {"a": 0.5, "b": 0.5}, packing=packing, starts={"a": 5})
    copy = pickle.loads(pickle.dumps(mixed))
    assert (copy.batch(7).targets == mixed.batch(7).targets).all()


def test_rows_are_counted_exactly(sets):
    mixed = loader(sets, {"a": 0.75, "b": 0.25}, rows=5)
    names = [name for step in range(40) for name in mixed.batch(step).sources]
    assert mixed.mixture.counts(200) == {name: names.count(name) for name in "ab"} == {"a": 150, "b": 50}
    assert mixed.mixture.counts(65_536 * 3 + 4) == {"a": 65_536 * 9 // 4 + 3, "b": 65_536 * 3 // 4 + 1}


def test_a_later_start_goes_on_in_the_same_epoch(sets):
    whole = loader(sets, rows=1)
    later = loader(sets, rows=1, starts={"a": 13})
    assert (later.batch(4).inputs == whole.batch(17).inputs).all()


def test_a_flipped_bit_in_the_tokens_stops_the_batch(sets):
    path = sets["a"].folder / "00002.bin"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    again = loader({"a": ShardSet(sets["a"].folder)})
    with pytest.raises(DataError, match="00002.bin is damaged: its block 0"):
        for step in range(20):
            again.batch(step)
