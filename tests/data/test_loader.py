"""The batch of a step is a pure function of shards, mixture, seed and step."""

import numpy as np
import pytest

from fakes.byte_tokenizer import ByteTokenizer
from textmill.base.errors import ConfigError, DataError
from textmill.data.loader import BatchLoader
from textmill.data.shards import ShardSet, write_shards
from textmill.text.documents import Document

CONTEXT = 16


@pytest.fixture
def shards(tmp_path):
    """Two sources: ``a`` counts upwards in bytes, so a row's first token tells its place; ``b`` is all one letter."""
    result = {}
    for name, text in (("a", "".join(map(chr, range(128)))), ("b", "b" * 300)):
        folder = tmp_path / name
        write_shards(folder, [Document(text, name, "0")], ByteTokenizer(), source=name, document_end=256)
        result[name] = ShardSet(folder)
    return result


def loader(shards, mixture=None, **options):
    options = {"rows": 4, "context": CONTEXT, "seed": 1, **options}
    return BatchLoader(shards, mixture or {"a": 0.5, "b": 0.5}, **options)


def test_targets_are_inputs_moved_by_one(shards):
    batch = loader(shards).batch(3)
    assert batch.inputs.shape == batch.targets.shape == (4, CONTEXT)
    assert (batch.inputs[:, 1:] == batch.targets[:, :-1]).all()
    assert batch.inputs.dtype == np.int64


def test_a_batch_does_not_depend_on_what_came_before(shards):
    first = loader(shards)
    for step in range(10):
        first.batch(step)
    again = loader(shards).batch(10)
    assert (first.batch(10).inputs == again.inputs).all()
    assert (loader(shards, seed=2).batch(10).inputs != again.inputs).any()


def test_rows_do_not_depend_on_the_size_of_the_batch(shards):
    wide = loader(shards, rows=8).batch(1).inputs
    narrow = [loader(shards, rows=2).batch(step).inputs for step in (4, 5, 6, 7)]
    assert (wide == np.concatenate(narrow)).all()


def test_the_mixture_holds(shards):
    batches = [loader(shards, {"a": 0.75, "b": 0.25}).batch(step) for step in range(50)]
    names = [name for batch in batches for name in batch.sources]
    assert names.count("a") == 150
    for batch in batches:
        for row, name in zip(batch.inputs, batch.sources, strict=True):
            assert (name == "b") == (row[3:5] == ord("b")).all()


def test_an_epoch_sees_each_window_once_and_the_next_is_cut_elsewhere(shards):
    only_a = loader(shards, {"a": 1}, rows=1)
    num_windows = (129 - 1) // CONTEXT - 1
    epochs = [[int(only_a.batch(e * num_windows + i).inputs[0, 0]) for i in range(num_windows)] for e in range(6)]
    for starts in epochs:
        assert np.diff(sorted(starts)).tolist() == [CONTEXT] * (num_windows - 1)
    assert len({tuple(starts) for starts in epochs}) == 6
    assert len({min(starts) for starts in epochs}) > 1


def test_a_source_may_be_one_window_long(shards):
    whole = loader(shards, {"a": 1}, rows=2, context=128)
    assert whole.batch(5).inputs[1].tolist() == list(range(128))


def test_a_context_longer_than_the_data(shards):
    with pytest.raises(DataError, match='source "a" has 129 tokens, and a row takes 130.*shorten the context'):
        loader(shards, context=129)


def test_a_mixture_of_a_missing_source(shards):
    with pytest.raises(ConfigError, match='names "c", and the sources are a, b'):
        loader(shards, {"a": 1, "c": 1})
