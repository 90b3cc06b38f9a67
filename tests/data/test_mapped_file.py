"""Mapped files are their bytes, for as long as anybody looks at them, and keep no file open."""

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.pipelines import pipeline_of, write_corpus
from fakes.few_open_files import few_open_files
from fakes.token_set import token_set
from textmill.data import job as job_module
from textmill.data.engines.local import LocalEngine
from textmill.data.loader import BatchLoader
from textmill.data.mapped_file import map_file
from textmill.data.prepare import prepare
from textmill.data.shards import ShardSet


@settings(deadline=None, max_examples=30)
@given(content=st.binary(max_size=20_000))
def test_it_is_the_bytes(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("mapped") / "file"
    path.write_bytes(content)
    mapped = map_file(path)
    assert mapped.dtype == np.uint8
    assert mapped.tobytes() == content
    if content:
        with pytest.raises(ValueError, match="read-only"):
            mapped[0] = 1


def test_views_outlive_the_file_and_its_array(tmp_path):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 64)
    view = map_file(tmp_path / "file")[1000:1010].view(">u2")
    (tmp_path / "file").unlink()
    gc.collect()
    assert view.tobytes() == (bytes(range(256)) * 64)[1000:1010]


def test_memory_is_given_back(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 5000)

    def num_mappings():
        with open("/proc/self/maps") as maps:  # noqa: PTH123  it is no file
            return sum(str(tmp_path / "file") in line for line in maps)

    mapped = map_file(tmp_path / "file")
    assert num_mappings() == 1
    del mapped
    gc.collect()
    assert num_mappings() == 0


def test_what_is_not_there_has_no_bytes(tmp_path):
    assert len(map_file(tmp_path / "none")) == len(map_file(tmp_path)) == 0
    (tmp_path / "file").write_bytes(b"")
    assert len(map_file(tmp_path / "file")) == 0


def test_a_set_may_have_more_files_than_may_be_open(tmp_path):
    shards = token_set(tmp_path, [5] * 600, file_documents=2)
    expected = shards.tokens(0, 3000)
    del shards
    with few_open_files(20):
        again = ShardSet(tmp_path)
        assert len(again.manifest.files) == 300
        assert (again.tokens(0, 3000) == expected).all()
        again.verify()
        assert len(BatchLoader({"a": again}, {"a": 1}, rows=4, context=64, seed=1).batch(3).inputs) == 4


def test_a_pipeline_may_have_more_units_than_files_may_be_open(tmp_path, monkeypatch):
    corpus = write_corpus(tmp_path / "corpus", num_documents=150)
    tables = {"dedup": {"minhash": True, "recall_sample": 10}, "holdout": {"fraction": 0.1}}
    monkeypatch.setattr(job_module, "UNIT_BYTES_OF_MB", 1 << 10)
    with few_open_files(20):
        prepare(pipeline_of(corpus, tmp_path / "out", **tables), LocalEngine(1))
    assert len(ShardSet(tmp_path / "out" / "web").manifest.files) > 30
