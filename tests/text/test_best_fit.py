"""Best-fit packing equals its twin's, and drops and repeats nothing."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.text import reference_best_fit
from textmill.text.best_fit import pack_best_fit


def rows_of(lengths, overheads, context):
    packed = pack_best_fit(np.array(lengths, np.int64), np.array(overheads, np.uint8), context)
    pieces = list(zip(packed.documents.tolist(), packed.offsets.tolist(), packed.lengths.tolist(), strict=True))
    ends = packed.row_pieces.tolist()
    return [pieces[begin:end] for begin, end in itertools.pairwise(ends)]


documents = st.lists(st.tuples(st.integers(0, 200), st.sampled_from([0, 0, 3])), max_size=60)


@settings(deadline=None, max_examples=150)
@given(documents=documents, context=st.integers(4, 150))
def test_rows_are_the_twins_and_hold_every_token_once(documents, context):
    lengths, overheads = [length for length, _ in documents], [overhead for _, overhead in documents]
    rows = rows_of(lengths, overheads, context)
    assert rows == reference_best_fit.pack_best_fit(lengths, overheads, context)
    held = [[] for _ in documents]
    for row in rows:
        assert row
        assert sum(length + overheads[document] for document, _, length in row) <= context
        for document, offset, length in row:
            held[document] += range(offset, offset + length)
    assert [sorted(tokens) for tokens in held] == [list(range(length)) for length in lengths]


@settings(deadline=None, max_examples=50)
@given(lengths=st.lists(st.integers(1, 100), max_size=80), context=st.integers(4, 100))
def test_no_document_is_cut_that_a_row_holds_and_no_two_rows_could_be_one(lengths, context):
    rows = rows_of(lengths, [0] * len(lengths), context)
    for row in rows:
        for document, offset, _ in row:
            assert lengths[document] > context or offset == 0
    sizes = sorted(sum(length for _, _, length in row) for row in rows)
    assert len(sizes) < 2 or sizes[0] + sizes[1] > context


def test_wide_rows_use_all_levels_of_the_search():
    generator = np.random.default_rng(1)
    lengths = generator.integers(1, 300_000, 300).tolist()
    assert rows_of(lengths, [0] * 300, 300_000) == reference_best_fit.pack_best_fit(lengths, [0] * 300, 300_000)


@pytest.mark.parametrize(("lengths", "overheads", "context"), [([-1], [0], 8), ([5], [8], 8), ([5], [0], 0)])
def test_what_cannot_be_packed(lengths, overheads, context):
    with pytest.raises(ValueError):
        rows_of(lengths, overheads, context)
