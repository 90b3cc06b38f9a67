"""Fill-in-the-middle tells a document's parts in another order, and loses none of its tokens."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.token_set import END, token_set
from textmill.base.errors import ConfigError
from textmill.data.fill_in_the_middle import FillInTheMiddle
from textmill.data.loader import BatchLoader

PREFIX, SUFFIX, MIDDLE = 70_001, 70_002, 70_003


def fill(rate, **options):
    return FillInTheMiddle(rate=rate, prefix_id=PREFIX, suffix_id=SUFFIX, middle_id=MIDDLE, **options)


def loader(shards, settings, **options):
    options = {"rows": 1, "context": 24, "seed": 1, "packing": "best-fit", "document_masks": True, **options}
    return BatchLoader({"a": shards}, {"a": 1}, fill_in_the_middle=settings, **options)


def in_order(tokens):
    """Put what was told out of order back; tokens count upwards, so the parts tell where they belong."""
    if PREFIX not in tokens:
        return tokens, None
    end = [END] if tokens[-1] == END else []
    tokens = tokens[: len(tokens) - len(end)]
    at = [tokens.index(sentinel) for sentinel in (PREFIX, SUFFIX, MIDDLE)]
    assert at[0] == 0
    assert at == sorted(at)
    is_spm = at[1] == 1 and len(tokens) > 3
    first, second, third = tokens[1 : at[1]], tokens[at[1] + 1 : at[2]], tokens[at[2] + 1 :]
    if first or not second:
        return first + third + second + end, "psm"
    # With no prefix, PSM reads as SPM: both give the same text.
    return third + second + end, "spm" if is_spm else "psm"


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=30),
    rate=st.sampled_from([0.3, 1.0]),
    spm_rate=st.sampled_from([0.0, 0.5, 1.0]),
    context=st.integers(4, 40),
)
def test_pieces_come_back(tmp_path_factory, lengths, rate, spm_rate, context):
    shards = token_set(tmp_path_factory.mktemp("set"), lengths)
    rows = loader(shards, fill(rate, spm_rate=spm_rate), context=context)
    seen = []
    for step in range(rows.rows_per_epoch["a"]):
        batch = rows.batch(step)
        for number in range(int(batch.segments.max()) + 1):
            tokens = batch.targets[batch.segments == number].tolist()
            if tokens[0] == -100:
                continue
            if tokens[0] == PREFIX:
                assert batch.inputs[batch.segments == number][0] == END
            text, _ = in_order(tokens)
            assert text == sorted(text[: -1 if text[-1] == END else None]) + ([END] if text[-1] == END else [])
            seen += text
    ids = np.arange(1, sum(lengths) + 1)
    ids[np.cumsum(lengths) - 1] = END
    assert sorted(seen) == sorted(ids.tolist())


def test_shares_are_about_what_is_asked_for(tmp_path):
    shards = token_set(tmp_path, [20] * 2000)
    rows = loader(shards, fill(0.5), rows=10)
    orders = {None: 0, "psm": 0, "spm": 0}
    for step in range(100):
        batch = rows.batch(step)
        for row in range(10):
            tokens = batch.targets[row][batch.segments[row] == 0].tolist()
            orders[in_order(tokens)[1]] += 1
    assert 430 < orders[None] < 570
    assert 200 < orders["psm"] < 300
    assert 200 < orders["spm"] < 300


def test_cuts_change_from_epoch_to_epoch_and_documents_do_not(tmp_path):
    shards = token_set(tmp_path, [20] * 8)
    rows = loader(shards, fill(0.5))
    epochs = []
    for epoch in range(2):
        batches = [rows.batch(step).targets[0].tolist() for step in range(epoch * 8, epoch * 8 + 8)]
        epochs.append(sorted([row for row in batches if row[0] == PREFIX]))
    assert epochs[0] != epochs[1]
    assert len(epochs[0]) == len(epochs[1]) > 0


def test_it_needs_room(tmp_path):
    shards = token_set(tmp_path, [20] * 8)
    with pytest.raises(ConfigError, match='set packing to "best-fit"'):
        loader(shards, fill(0.5), packing="concat")
    with pytest.raises(ConfigError, match=r"fill_in_the_middle.rate is 1.5, and must be 0 to 1"):
        fill(1.5)
