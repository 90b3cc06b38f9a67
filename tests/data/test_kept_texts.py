"""Texts of a unit come back by their numbers; a unit that became shorter is told."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import DataError
from textmill.data.kept_batch import KeptBatch
from textmill.data.kept_texts import KeptTexts, KeptTextsWriter, read_texts
from textmill.text.text_batch import TextBatch


def write(folder, batches):
    folder.mkdir()
    with KeptTextsWriter(folder, None) as writer:
        for texts in batches:
            names = TextBatch.of([f"id {number}" for number in range(len(texts))])
            writer.add(KeptBatch(TextBatch.of(texts), names, np.zeros(len(texts), np.float32)))
    return folder


@settings(deadline=None, max_examples=50)
@given(batches=st.lists(st.lists(st.text(max_size=20), max_size=8), max_size=4), data=st.data())
def test_any_of_them_come_back(tmp_path_factory, batches, data):
    folder = write(tmp_path_factory.mktemp("unit") / "texts", batches)
    every = [text.encode() for batch in batches for text in batch]
    assert list(KeptTexts(folder).texts) == every
    numbers = data.draw(st.lists(st.sampled_from(range(len(every))))) if every else []
    assert list(read_texts(folder, np.array(numbers, np.int64))) == [every[number] for number in numbers]


def test_a_unit_that_became_shorter_is_told(tmp_path):
    folder = write(tmp_path / "unit", [["one", "two", "three"]])
    (folder / "texts.bin").write_bytes(b"onetwot")
    assert list(read_texts(folder, np.array([0, 1]))) == [b"one", b"two"]
    with pytest.raises(DataError, match=r"texts.bin is damaged \(7 bytes, and 11 are needed\); remove the folder"):
        read_texts(folder, np.array([1, 2]))
    (folder / "texts.npy").write_bytes(b"")
    with pytest.raises(DataError, match=r"texts.npy is damaged"):
        read_texts(folder, np.array([0]))
    (folder / "texts.npy").unlink()
    with pytest.raises(DataError, match=r"cannot read .*texts.npy: no such file"):
        read_texts(folder, np.array([0]))
