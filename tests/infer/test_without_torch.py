"""What works where torch is not installed: everything on the CPU but training."""

import os
import subprocess
import sys

import pytest

from textmill import Tokenizer
from textmill.base import safetensors
from textmill.checkpoint import huggingface
from textmill.model.config import ModelConfig

NO_TORCH = """
import importlib.abc, sys

class NoTorch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition('.')[0] == 'torch':
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, NoTorch())
"""


@pytest.fixture
def folder(tmp_path):
    """A model folder, made without torch too."""
    import numpy as np

    tokenizer = Tokenizer.train(iter(["The quick brown fox jumps over the lazy dog. " * 20]), vocab_size=270)
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=64,
    )
    rng = np.random.default_rng(1)
    tensors = {name: rng.normal(0, 0.2, shape).astype(np.float32) for name, shape in config.tensor_shapes().items()}
    huggingface.write_small_files(tmp_path, config, tokenizer)
    safetensors.save(tmp_path / "model.safetensors", tensors)
    return tmp_path


def in_fresh_python(script, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_what_lives_without_torch_does_not_import_it():
    done = in_fresh_python(
        "import sys, textmill, textmill.infer.engine, textmill.infer.sampler, textmill.infer.detokenize\n"
        "import textmill.infer.reference, textmill.infer.request, textmill.infer.runners.runner\n"
        "import textmill.infer.batcher, textmill.checkpoint.stored_model, textmill.checkpoint.huggingface_model\n"
        "import textmill.model.config, textmill.model.flops, textmill.base.safetensors\n"
        "import textmill.checkpoint.huggingface, textmill.checkpoint.store, textmill.checkpoint.sources\n"
        "textmill.load\n"
        "assert 'torch' not in sys.modules\n"
    )
    assert done.returncode == 0, done.stderr


def test_a_model_is_loaded_and_goes_on_from_a_text(folder):
    script = """
import textmill
lm = textmill.load(sys.argv[1])
answer = lm.generate("The quick", max_tokens=8, temperature=1.0, top_p=0.9, seed=1, logprobs=2, ignore_eos=True)
assert len(answer.ids) == 8
assert [delta.ids for delta in lm.stream("The", max_tokens=3, ignore_eos=True)]
assert lm.logits([1, 2, 3]).shape == (3, lm.config.vocab_size)
assert 'torch' not in sys.modules
"""
    done = in_fresh_python(NO_TORCH + script, folder)
    assert done.returncode == 0, done.stderr


def test_another_device_says_how_to_install_it(folder):
    script = """
import textmill
from textmill.base.errors import MissingExtraError
try:
    textmill.load(sys.argv[1], device="cuda")
except MissingExtraError as error:
    print(error)
"""
    done = in_fresh_python(NO_TORCH + script, folder)
    assert done.returncode == 0, done.stderr
    assert "pip install 'textmill[train]'" in done.stdout
