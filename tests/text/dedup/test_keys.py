"""Keys come back from their file as they were; a damaged one is refused."""

import numpy as np
import pytest

from textmill.base.errors import DataError
from textmill.text.dedup import MinHashSettings, UnitKeys
from textmill.text.text_batch import TextBatch

COLUMNS = ("text_hashes", "bands", "lengths", "scores")


def keys_of(texts, minhash=None):
    return UnitKeys.of(TextBatch.of(texts), np.arange(len(texts), dtype=np.float32), minhash)


@pytest.mark.parametrize("minhash", [None, MinHashSettings()])
@pytest.mark.parametrize("texts", [[], ["a"], ["one", "two and more", ""]])
def test_they_come_back(tmp_path, texts, minhash):
    keys = keys_of(texts, minhash)
    keys.write(tmp_path / "keys")
    again = StoredKeys.open(tmp_path / "keys", "web")
    assert len(again) == len(texts)
    assert again.source == "web"
    for name in COLUMNS:
        assert getattr(again, name).tolist() == getattr(keys, name).tolist()


def test_batches_are_joined():
    minhash = MinHashSettings()
    whole = keys_of(["a b", "c", "d"], minhash)
    joined = UnitKeys.joined([keys_of(["a b"], minhash), keys_of(["c", "d"], minhash)])
    for name in COLUMNS[:3]:
        assert (getattr(joined, name) == getattr(whole, name)).all()


def test_torn_and_strange_files_are_refused(tmp_path):
    path = tmp_path / "keys"
    keys_of(["one", "two"], MinHashSettings()).write(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="keys"):
            StoredKeys.open(path)
    path.write_bytes(whole.replace(b"(2, 2)", b"(1, 4)"))
    with pytest.raises(DataError, match="differ in length"):
        StoredKeys.open(path)
