"""Adapters go both ways between textmill and PEFT, and mean the same there."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import textmill
from fakes.tiny_model import write_model
from textmill.base.safetensors import load
from tune.tiny_tuning import tune, write_recipe
from tune.trl_peer import trl_python

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1200)]

# f32 in other orders.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
IDS = np.random.default_rng(1).integers(0, 300, 30).tolist()
# What is set here, what of the base is other than usual, and PEFT's own settings.
CASES = {
    "dora": (
        ("tune.dora=true",),
        {},
        {"r": 3, "lora_alpha": 7, "use_dora": True, "target_modules": ["q_proj", "down_proj"]},
    ),
    "blocks": ((), {}, {"r": 3, "lora_alpha": 7, "use_rslora": True, "target_modules": ["q_proj", "down_proj"]}),
    "head": (
        ('tune.targets=["up_proj", "lm_head"]',),
        {},
        {"r": 3, "lora_alpha": 7, "target_modules": ["v_proj", "lm_head"], "use_dora": True},
    ),
    "tied": (
        ('tune.targets=["up_proj", "lm_head"]',),
        {"tie_word_embeddings": True},
        {"r": 3, "lora_alpha": 7, "target_modules": ["v_proj", "lm_head"]},
    ),
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """The folder of each case, and PEFT's logits."""
    folder, cases = tmp_path_factory.mktemp("peft"), {}
    for name, (settings, sizes, of_peft) in CASES.items():
        place = folder / name
        path = write_recipe(place, "sft")
        write_model(place / "base", **sizes)
        tune(path, "sft", ("tune.rank=4", "tune.dropout=0.1", "schedule.peak_lr=3e-2", *settings))
        cases[name] = {
            "ids": [IDS],
            "base": str(place / "base"),
            "adapter": str(place / "run/adapter"),
            "made": str(place / "made"),
            "settings": of_peft,
            "tied": bool(sizes),
        }
    (folder / "cases.json").write_text(json.dumps(cases))
    script = Path(__file__).with_name("peft_script.py")
    command = [str(trl_python()), "-W", "error::UserWarning", str(script)]
    command += [str(folder / "cases.json"), str(folder / "said.safetensors")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, load(folder / "said.safetensors")


@pytest.mark.parametrize("name", CASES)
def test_peft_reads_what_textmill_wrote_and_textmill_reads_what_peft_wrote(said, name):
    folder, tensors = said[0] / name, said[1]

    def logits(place):
        return textmill.load(folder / place, weights="f32", kv="f32").logits(IDS)

    read, made = tensors[f"{name}/read"][0], tensors[f"{name}/made"][0]
    np.testing.assert_allclose(logits("run/adapter"), read, **CLOSE)
    np.testing.assert_allclose(logits("run/model"), tensors.get(f"{name}/merged", read[None])[0], **CLOSE)
    np.testing.assert_allclose(logits("made"), made, **CLOSE)
    assert np.abs(made - read).max() > 1e-2


def test_adapters_that_share_a_base_answer_as_pefts_do(said):
    folder, tensors = said[0] / "blocks", said[1]
    adapters = {"read": folder / "run/adapter", "made": folder / "made"}
    shared = textmill.load(folder / "base", weights="f32", kv="f32", adapters=adapters)
    for name in adapters:
        with_it = shared.with_adapter(name)
        np.testing.assert_allclose(with_it.logits(IDS), tensors[f"blocks/{name}"][0], **CLOSE)
        answer = with_it.generate(IDS, max_tokens=20, ignore_eos=True)
        assert IDS + answer.ids == tensors[f"blocks/{name}_greedy"][0].tolist()
