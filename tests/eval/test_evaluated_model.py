import json

import numpy as np
import pytest

from fakes.tiny_model import write_model
from textmill.base.errors import ConfigError, DataError
from textmill.base.safetensors import save
from textmill.checkpoint.adapter_files import CONFIG, WEIGHTS, AdapterConfig
from textmill.eval.evaluated_model import fingerprint, name_of, open_evaluated
from textmill.eval.measure import measure_task
from textmill.eval.tasks.task_file import read_task


def write_adapter(folder, base, values):
    folder.mkdir(parents=True)
    config = AdapterConfig(base=str(base), rank=1, alpha=1.0, targets=("o_proj",))
    (folder / CONFIG).write_text(json.dumps(config.to_peft()))
    width = json.loads((base / "config.json").read_text())["hidden_size"]
    inner = np.full((1, width), values, np.float32)
    name = "base_model.model.model.layers.0.self_attn.o_proj.lora_{}.weight"
    save(folder / WEIGHTS, {name.format("A"): inner, name.format("B"): np.ones((width, 1), np.float32)})
    return folder


def test_two_adapters_of_one_base_are_two_models(tiny_folder, write_task, tmp_path):
    task = read_task(write_task({"prompt": "a", "choices": ["b", "c"], "answer": 0}))
    one, other = (write_adapter(tmp_path / f"runs/{n}/adapter", tiny_folder, n) for n in (1, 2))
    assert (name_of(one), name_of(other)) == ("1-adapter", "2-adapter")
    models = [open_evaluated(folder, weights="f32", threads=1) for folder in (one, other)]
    measure_task(models[0], task, tmp_path / "task.jsonl", tmp_path / "out")
    with pytest.raises(ConfigError, match="results with another model_sha256"):
        measure_task(models[1], task, tmp_path / "task.jsonl", tmp_path / "out")
    measure_task(models[0], task, tmp_path / "task.jsonl", tmp_path / "out")


def test_an_adapter_of_another_base_is_another_model(tiny_folder, tmp_path):
    write_model(tmp_path / "base", num_hidden_layers=1)
    adapter = write_adapter(tmp_path / "adapter", tmp_path / "base", 1)
    first = fingerprint(adapter)
    weights = tmp_path / "base/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    assert fingerprint(adapter) != first


def test_an_adapter_that_is_its_own_base_is_named(tiny_folder, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", tiny_folder, 1)
    table = json.loads((adapter / CONFIG).read_text()) | {"base_model_name_or_path": str(adapter)}
    (adapter / CONFIG).write_text(json.dumps(table))
    with pytest.raises(DataError, match="its own base"):
        fingerprint(adapter)


def test_every_shard_counts_whatever_its_name(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match="holds no weights"):
        fingerprint(tmp_path)
    found = set()
    for name, content in (("weights-1.safetensors", b"1"), ("weights-1.safetensors", b"2"), ("x.index.json", b"{}")):
        (tmp_path / name).write_bytes(content)
        found.add(fingerprint(tmp_path))
    assert len(found) == 3
    for name in ("optimizer.safetensors", "README.md"):
        (tmp_path / name).write_bytes(b"beside")
    assert fingerprint(tmp_path) in found


def test_hashing_tells_how_far_it_is(tiny_folder, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", tiny_folder, 1)
    told = []
    assert fingerprint(adapter, progress=lambda *done: told.append(done)) == fingerprint(adapter)
    sizes = sum((folder / name).stat().st_size for folder, name in (
        (tiny_folder, "model.safetensors"), (adapter, WEIGHTS),
    ))  # fmt: skip
    done, totals = zip(*told, strict=True)
    assert list(done) == sorted(done)
    assert set(totals) == {done[-1]}
    assert done[-1] > sizes  # the small files, too
