"""Keys come back from their file as they were; a damaged one is refused."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from textmill.base.errors import DataError
from textmill.text.dedup import MinHashSettings, StoredKeys, UnitKeys
from textmill.text.text_batch import TextBatch


def keys_of(texts, minhash=None):
    return UnitKeys.of(TextBatch.of(texts), np.arange(len(texts), dtype=np.float32), minhash)


TEXTS = st.lists(st.text(st.sampled_from("ab .é"), max_size=12), max_size=30)
MINHASH = st.none() | st.builds(MinHashSettings, bands=st.integers(1, 20))


@settings(deadline=None)
@given(texts=TEXTS, minhash=MINHASH)
@example(texts=[], minhash=None)
@example(texts=[], minhash=MinHashSettings())
def test_they_come_back(tmp_path_factory, texts, minhash):
    path = tmp_path_factory.mktemp("keys") / "keys"
    keys = keys_of(texts, minhash)
    keys.write(path)
    again = StoredKeys.open(path, "web")
    assert len(again) == len(texts)
    assert again.source == "web"
    assert again.num_bands == keys.num_bands == (minhash.bands if minhash else 0)
    for number in range(again.num_bands):
        assert again.band(number).tolist() == keys.band(number).tolist()
    for name in ("text_hashes", "lengths", "scores"):
        assert getattr(again, name).tolist() == getattr(keys, name).tolist()


def test_batches_are_joined():
    minhash = MinHashSettings()
    whole = keys_of(["a b", "c", "d"], minhash)
    joined = UnitKeys.joined([keys_of(["a b"], minhash), keys_of(["c", "d"], minhash)])
    for name in ("text_hashes", "bands", "lengths"):
        assert (getattr(joined, name) == getattr(whole, name)).all()


def test_torn_and_strange_files_are_refused(tmp_path):
    path = tmp_path / "keys"
    keys_of(["one", "two"], MinHashSettings()).write(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="keys"):
            StoredKeys.open(path)
    path.write_bytes(whole.replace(b"<f4", b"<i4"))
    with pytest.raises(DataError, match="numbers are <i4, and must be <f4"):
        StoredKeys.open(path)
    path.write_bytes(whole.replace(b"(2, 2)", b"(1, 4)"))
    with pytest.raises(DataError, match="differ in length"):
        StoredKeys.open(path)


def test_a_file_that_changes_after_it_was_looked_at_is_told(tmp_path):
    path = tmp_path / "keys"
    keys_of(["one", "two"], MinHashSettings()).write(path)
    keys = StoredKeys.open(path)
    path.write_bytes(path.read_bytes()[:-5])
    assert keys.lengths.tolist() == [3, 3]
    with pytest.raises(DataError, match=r"keys is damaged \(\d+ bytes, and \d+ are needed\); remove it"):
        _ = keys.scores
    path.unlink()
    with pytest.raises(DataError, match="cannot read .*keys: no such file or directory; remove it"):
        keys.band(0)
