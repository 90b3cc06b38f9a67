"""Damaged models of both formats, for as long as TEXTMILL_FUZZ_SECONDS says (15 for each unless set)."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from attacks import fuzz_loaders
from checkpoint.tiny_models import config, write_folder
from model.families import FAMILIES
from textmill.base import safetensors
from textmill.checkpoint.convert import convert

SECONDS = float(os.environ.get("TEXTMILL_FUZZ_SECONDS", "15"))
SMALL = {"num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 64, "max_position_embeddings": 32}
GGUF = {
    "llama": ("q4_0", {}),
    "llama3": ("f32", {"rope_scaling": FAMILIES["llama-3.1"]["rope_scaling"]}),
    "mistral": ("bf16", {"model_type": "mistral", "sliding_window": 4, "sliding_layers": (0,)}),
    "qwen2": ("q8_0", {"model_type": "qwen2", "qkv_bias": True, "tie_word_embeddings": True, "head_dim": 8}),
    "qwen3": ("f16", {"model_type": "qwen3", "qk_norm": True, "rope_scaling": FAMILIES["llama-yarn"]["rope_scaling"]}),
    "smollm3": ("f32", {"model_type": "smollm3", "num_hidden_layers": 4, "nope_layers": (3,)}),
}


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """Small files of every family, valid ones."""
    folder = tmp_path_factory.mktemp("fuzz") / "valid"
    for name, (kind, changes) in GGUF.items():
        write_folder(folder / name, config(**SMALL | changes), dtype="bf16" if kind == "bf16" else "f32")
        convert(folder / name, folder / f"{name}.gguf", type=kind)
    shard(folder / "qwen2")
    return folder


def shard(folder):
    """Cut the tensors into two files, as large models come."""
    tensors = safetensors.load(folder / "model.safetensors")
    names = {name: f"model-{place % 2 + 1:05}-of-00002.safetensors" for place, name in enumerate(tensors)}
    for file_name in set(names.values()):
        safetensors.save(folder / file_name, {name: tensors[name] for name in tensors if names[name] == file_name})
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


def test_the_valid_ones_are_taken(valid):
    assert all(fuzz_loaders.use(path) for path in valid.iterdir())
    data = (valid / "llama.gguf").read_bytes()
    assert len(list(fuzz_loaders.places_of_numbers(data))) > 700


@pytest.mark.timeout(SECONDS + 120)
@pytest.mark.parametrize("kind", ["gguf", "folder"])
def test_damaged_models_are_refused_and_nothing_else(valid, tmp_path, kind):
    """What fails is kept, and named. Where seconds are asked for the seed is another every time."""
    shutil.copytree(valid, tmp_path / "valid")
    seed = random.SystemRandom().randrange(1 << 32) if "TEXTMILL_FUZZ_SECONDS" in os.environ else 1
    program = [sys.executable, "-X", "faulthandler", "-W", "error", str(Path(fuzz_loaders.__file__))]
    done = subprocess.run(
        [*program, kind, str(SECONDS), str(seed), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"seed {seed}, {tmp_path}/now*\n{done.stderr[-4000:]}"
    print(done.stdout)
