"""TRL in an environment of its own, made once; what it says of a batch."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fakes.made_once import one_at_a_time
from textmill.base.safetensors import load
from tokenizer.vocabularies import data_folder

PACKAGES = ("torch==2.13.0", "trl==1.16.0", "transformers==5.23.0", "peft==0.21.2")


@functools.cache
def trl_python():
    """The interpreter of TRL's environment; skips, with the reason, where it cannot be made."""
    folder = data_folder() / f"trl-1.16.0-{sys.version_info[0]}.{sys.version_info[1]}"
    python = folder / "bin" / "python"
    with one_at_a_time(folder):
        if not (folder / ".made").exists():
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(python), "-m", "pip", "install", "--quiet", *PACKAGES],
            ):
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    pytest.skip(f"cannot install trl: {done.stderr.strip()[-200:]}")
            (folder / ".made").touch()
    return python


def trl_says(folder, cases):
    """Of each case TRL's loss, and its gradients by Hugging Face's names."""
    (folder / "cases.json").write_text(json.dumps([{"folder": str(folder / "trl"), **case} for case in cases]))
    script = Path(__file__).with_name("trl_script.py")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": "", "TOKENIZERS_PARALLELISM": "false"}
    command = [str(trl_python()), str(script), str(folder / "cases.json"), str(folder / "said.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    said = [{} for _ in cases]
    for key, array in load(folder / "said.safetensors").items():
        number, _, name = key.partition("/")
        said[int(number)][name] = torch.from_numpy(array.copy())
    return [(tensors.pop("loss").item(), tensors) for tensors in said]
