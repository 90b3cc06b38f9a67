"""Model folders that lie or are broken: a DataError that names the file, and no memory taken."""

import json

import numpy as np
import pytest

from textmill.base import safetensors
from textmill.base.errors import DataError
from textmill.checkpoint.huggingface import load_config, load_tensors
from textmill.model.config import ModelConfig

CONFIG = ModelConfig(
    vocab_size=16,
    hidden_size=8,
    intermediate_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=4,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG.to_hf()))
    tensors = {name: np.ones(shape, np.float32) for name, shape in CONFIG.tensor_shapes().items()}
    safetensors.save(tmp_path / "model.safetensors", tensors)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not whole JSON"),
        (b'{"model_type": "llama"', "not whole JSON"),
        (b"[]", "must hold a JSON object"),
        (b'"llama"', "must hold a JSON object"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a":' * 100_000, "nested too deep"),
        (b'{"vocab_size": ' + b"9" * 10_000 + b"}", "cannot be read"),
        (b"{}", "model_type"),
        (b'{"model_type": "llama"}', "lacks vocab_size"),
    ],
    ids=["empty", "cut", "list", "string", "utf16", "deep", "digits", "nothing", "no sizes"],
)
def test_a_bad_config_is_named(folder, content, reason):
    (folder / "config.json").write_bytes(content)
    with pytest.raises(DataError, match=reason) as caught:
        load_config(folder)
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "m" * 10**6},
        {"model_type": "smollm3", "num_hidden_layers": 10**9},
        {"model_type": "smollm3", "no_rope_layer_interval": 10**30},
        {"model_type": "smollm3", "no_rope_layer_interval": -1},
        {"model_type": "qwen2", "use_sliding_window": True, "max_window_layers": -(10**30)},
        {"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 10**30, "max_window_layers": 0},
        {"model_type": "mistral", "sliding_window": float("inf")},
        {"rope_scaling": {"rope_type": "linear", "factor": 10**400}},
        {"rope_scaling": {"rope_type": "linear", "factor": float("nan")}},
        {"rope_scaling": {"rope_type": "yarn", "factor": 1e308, "original_max_position_embeddings": 1}},
        {"rope_scaling": {"rope_type": "yarn", "factor": 2.0, "original_max_position_embeddings": float("inf")}},
        {"rope_scaling": {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": "1"}},
        {"rope_scaling": {"rope_type": "yarn", "factor": 2.0}, "rope_theta": 1, "rope_parameters": None},
        {"rope_scaling": [["rope_type", "yarn"]]},
        {"rope_parameters": {"rope_type": {"rope_type": "yarn"}}},
        {"rope_theta": 10**400, "rope_parameters": None},
    ],
    ids=lambda change: next(reversed(change)),
)
def test_numbers_that_lie_are_refused(folder, change):
    (folder / "config.json").write_text(json.dumps(CONFIG.to_hf() | change))
    with pytest.raises(DataError, match=r"config\.json") as caught:
        load_config(folder)
    assert len(str(caught.value)) < 1000


def test_sizes_that_the_file_does_not_hold_take_no_memory(folder):
    table = CONFIG.to_hf() | {"vocab_size": 1 << 24, "hidden_size": 1 << 20, "head_dim": 1 << 14}
    (folder / "config.json").write_text(json.dumps(table))
    with pytest.raises(DataError, match=r"\[16, 8\].*\[16777216, 1048576\]"):
        load_tensors(folder)


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/etc/passwd", "a/b.safetensors", "model.bin", 7, None])
def test_an_index_cannot_leave_its_folder(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": name}}))
    with pytest.raises(DataError, match="files of its folder"):
        load_tensors(folder)


def test_a_pickle_is_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pytorch_model\.bin is a pickle"):
        load_tensors(folder)
