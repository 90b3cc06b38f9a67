"""Adapters go both ways between textmill and PEFT, and mean the same there."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import textmill
from textmill.base.safetensors import load
from tune.tiny_tuning import tune, write_recipe
from tune.trl_peer import trl_python

pytestmark = [pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(1200)]

# f32 in other orders.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def test_peft_reads_what_textmill_wrote_and_textmill_reads_what_peft_wrote(tmp_path):
    tune(write_recipe(tmp_path, "sft"), "sft", ("tune.rank=4", "tune.dropout=0.1", "schedule.peak_lr=3e-2"))
    ids = np.random.default_rng(1).integers(0, 300, 30).tolist()
    case = {
        "ids": [ids],
        "base": str(tmp_path / "base"),
        "adapter": str(tmp_path / "run/adapter"),
        "made": str(tmp_path / "made"),
    }
    (tmp_path / "case.json").write_text(json.dumps(case))
    script = Path(__file__).with_name("peft_script.py")
    command = [str(trl_python()), "-W", "error::UserWarning", str(script)]
    command += [str(tmp_path / "case.json"), str(tmp_path / "said.safetensors")]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    said = load(tmp_path / "said.safetensors")

    def logits(folder):
        return textmill.load(folder, weights="f32", kv="f32").logits(ids)

    np.testing.assert_allclose(logits(tmp_path / "run/adapter"), said["read"][0], **CLOSE)
    adapters = {"read": tmp_path / "run/adapter", "made": tmp_path / "made"}
    shared = textmill.load(tmp_path / "base", weights="f32", kv="f32", adapters=adapters)
    for name in adapters:
        with_it = shared.with_adapter(name)
        np.testing.assert_allclose(with_it.logits(ids), said[name][0], **CLOSE)
        answer = with_it.generate(ids, max_tokens=20, ignore_eos=True)
        assert ids + answer.ids == said[f"{name}_greedy"][0].tolist()
    np.testing.assert_allclose(logits(tmp_path / "run/model"), said["merged"][0], **CLOSE)
    np.testing.assert_allclose(logits(tmp_path / "made"), said["made"][0], **CLOSE)
    assert np.abs(said["made"] - said["read"]).max() > 1e-2
