"""Rows gathered from files of tokens equal the twin's, and nothing outside the stream is read."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import DataError
from textmill.text import reference_token_stream
from textmill.text.checked_files import CheckedFiles
from textmill.text.checksums import block_checksums
from textmill.text.token_stream import RowPlan, TokenStream

BLOCK_BYTES = 32


def open_stream(ids, file_sizes, dtype="<u2", damaged=None):
    """Cut ids into files of given sizes, the last taking what is left."""
    cuts = np.cumsum(file_sizes)
    contents = [part.astype(dtype).view(np.uint8) for part in np.split(np.array(ids), cuts[cuts < len(ids)])]
    sums = [block_checksums(content, BLOCK_BYTES) for content in contents]
    if damaged is not None:
        file, byte = damaged
        contents[file][byte] ^= 1
    paths = [Path(f"{number}.bin") for number in range(len(contents))]
    return TokenStream(CheckedFiles(paths, contents, sums, BLOCK_BYTES, "copy it again"), np.dtype(dtype).itemsize)


def plan_of(rows):
    """A plan of rows of segments (first, [(place, length), ...])."""
    segments = [segment for row in rows for segment in row]
    spans = [span for _, spans in segments for span in spans]
    ends = lambda groups: np.cumsum([0, *map(len, groups)])  # noqa: E731
    as_array = lambda values: np.array(values, np.int64)  # noqa: E731
    return RowPlan(
        ends(rows),
        ends([spans for _, spans in segments]),
        as_array([first for first, _ in segments]),
        as_array([place for place, _ in spans]),
        as_array([length for _, length in spans]),
    )


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_rows_are_the_twins(data):
    num_tokens = data.draw(st.integers(1, 120))
    ids = [(7 * i + 3) % 1000 for i in range(num_tokens)]
    sizes = data.draw(st.lists(st.integers(0, 40), max_size=4))
    context = data.draw(st.integers(1, 40))
    rows = []
    for _ in range(data.draw(st.integers(0, 4))):
        row, space = [], context
        for _ in range(data.draw(st.integers(0, 4))):
            spans = []
            for _ in range(data.draw(st.integers(0, 3))):
                place = data.draw(st.integers(-5, num_tokens - 1))
                length = 1 if place < 0 else data.draw(st.integers(0, min(space, num_tokens - place)))
                if length <= space:
                    spans.append((place, length))
                    space -= length
            row.append((data.draw(st.integers(-5, num_tokens - 1)), spans))
        rows.append(row)
    plan = plan_of(rows)
    stream = open_stream(ids, sizes, data.draw(st.sampled_from(["<u2", "<u4"])))
    got = stream.gather(plan, context=context, padding=999, with_segments=True)
    expected = reference_token_stream.gather(ids, plan, context=context, padding=999)
    for number, array in enumerate((got.inputs, got.targets, got.positions, got.segments)):
        assert array.shape == (len(rows), context)
        assert array.tolist() == [row[number] for row in expected]
    short = stream.gather(plan, context=context, padding=999, with_segments=False)
    assert (short.inputs == got.inputs).all()
    assert short.positions.shape == short.segments.shape == (0, context)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_damaged_block_is_never_used(data):
    """Whatever is asked for: what has a token of the damaged block is refused, all else comes as it is."""
    ids = list(range(100))
    byte = data.draw(st.integers(0, 79))
    stream = open_stream(ids, [40], damaged=(0, byte))
    bad = range(byte // BLOCK_BYTES * 16, min((byte // BLOCK_BYTES + 1) * 16, 40))
    for _ in range(5):
        start = data.draw(st.integers(0, 99))
        stop = data.draw(st.integers(start, 100))
        if set(range(start, stop)) & set(bad):
            with pytest.raises(DataError, match=rf"0.bin is damaged: its block {byte // BLOCK_BYTES} .*copy it again"):
                stream.tokens(start, stop)
        else:
            assert stream.tokens(start, stop).tolist() == ids[start:stop]


def test_what_is_not_in_the_stream():
    stream = open_stream(range(10), [5])
    for start, stop in ((-1, 3), (0, 11), (10, 12), (2**62, 2**62 + 1), (-(2**63), 2**63 - 1), (5, 4)):
        with pytest.raises(IndexError):
            stream.tokens(start, stop)
    with pytest.raises(IndexError):
        stream.gather(plan_of([[(0, [(8, 3)])]]), context=8, padding=0, with_segments=True)
    with pytest.raises(ValueError, match="more than 4 tokens"):
        stream.gather(plan_of([[(0, [(0, 5)])]]), context=4, padding=0, with_segments=True)


def test_plans_that_do_not_fit_together():
    stream = open_stream(range(10), [5])
    good = plan_of([[(0, [(1, 2)])]])
    for name in RowPlan.__slots__:
        for wrong in (np.array([0, 1, 2, 3]), np.array([5, 5]), np.array([], np.int64)):
            arrays = {slot: getattr(good, slot) for slot in RowPlan.__slots__} | {name: wrong}
            with pytest.raises((ValueError, IndexError)):
                stream.gather(RowPlan(**arrays), context=8, padding=0, with_segments=True)
