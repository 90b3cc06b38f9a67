"""Indexes of shards that lie: names that are none, and files that are not the model's."""

import json

import pytest

from checkpoint.tiny_models import write_folder
from textmill.base.errors import DataError
from textmill.checkpoint.stored_model import open_model


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"\ud800": "model-1.safetensors"}, r"holds \\ud800, and it does not"),
        ({"a": "\ud800.safetensors"}, "cannot be used|cannot read|does not exist"),
        ({"a": "a\x00.safetensors"}, "cannot be used|cannot read|does not exist"),
        ({"a": "x" * 5000 + ".safetensors"}, "cannot read|does not exist"),
        ({"a": "../model-1.safetensors"}, "no weight_map"),
        ({"a": "/etc/x.safetensors"}, "no weight_map"),
        ({"a": 7}, "no weight_map"),
        (["model-1.safetensors"], "no weight_map"),
        ({}, "lacks"),
    ],
)
def test_indexes_that_lie(tmp_path, weight_map, message):
    folder = write_folder(tmp_path / "hf")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = json.dumps({"weight_map": weight_map})
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(DataError, match=message) as caught:
        open_model(folder)
    assert str(folder) in str(caught.value)
    str(caught.value).encode()
