"""A model on the disk, loaded and run: tokens, logits, precision, and what loading refuses."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import textmill
from textmill.base import safetensors
from textmill.base.errors import ConfigError, DataError
from textmill.checkpoint import huggingface
from textmill.checkpoint.huggingface import save_model
from textmill.checkpoint.store import save_checkpoint
from textmill.infer.reference import logits_of
from textmill.model.llama import Llama


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Models of these sizes gain nothing from a second thread, and lose much where the cores are busy."""
    torch.set_num_threads(1)


@pytest.fixture
def model(config):
    return Llama(config).init_weights(1, residual="scaled").requires_grad_(False)


@pytest.fixture
def folder(tmp_path, config, model, tokenizer, monkeypatch):
    monkeypatch.setattr("textmill.infer.engine.load_tokenizer", lambda folder, config: tokenizer)
    save_model(tmp_path / "model", config, model.state_dict(), tokenizer, add_bos_token=True)
    return tmp_path / "model"


def test_logits_equal_the_model_and_the_numpy_twin(folder, config, model):
    ids = list(range(40, 90))
    logits = textmill.load(folder).logits(ids)
    assert (logits.dtype, logits.shape) == (np.float32, (50, 260))
    with torch.no_grad():
        np.testing.assert_array_equal(logits, model(torch.tensor([ids]))[0].numpy())
    expected = logits_of(config, safetensors.load(folder / "model.safetensors"), ids)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_greedy_tokens_are_those_of_the_logits(folder):
    lm = textmill.load(folder, kv="f32")
    answer = lm.generate("Once", max_tokens=40, logprobs=3, ignore_eos=True)
    text = [256, *b"Once", *answer.ids]
    logits = lm.logits(text)[4:-1, :258].astype(np.float64)
    assert logits.argmax(-1).tolist() == answer.ids
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(answer.logprobs, logprobs.max(-1), atol=1e-4)


@pytest.mark.parametrize("kv", ["f32", "bf16"])
def test_a_prompt_gives_the_same_alone_in_a_batch_and_streamed(folder, kv):
    lm = textmill.load(folder, kv=kv)
    prompts = ["a", "Once upon a time", "a", [5, 6, 7]]
    options = {"max_tokens": 20, "temperature": 1.0, "top_p": 0.95, "seed": 11, "logprobs": 2}
    together = lm.generate(prompts, **options)
    assert together == [lm.generate(prompt, **options) for prompt in prompts]
    assert together[0] == together[2]
    for prompt, answer in zip(prompts, together, strict=True):
        pieces = list(lm.stream(prompt, **options))
        assert "".join(piece.text for piece in pieces) == answer.text
        assert [i for piece in pieces for i in piece.ids] == answer.ids
        assert [value for piece in pieces for value in piece.logprobs or ()] == answer.logprobs


def test_a_seed_goes_on_from_the_middle(folder):
    lm = textmill.load(folder, kv="f32")
    options = {"temperature": 1.0, "seed": 3, "ignore_eos": True}
    whole = lm.generate([1, 2, 3], max_tokens=20, **options).ids
    assert lm.generate([1, 2, 3, *whole[:8]], max_tokens=12, **options).ids == whole[8:]


def test_other_seeds_give_other_texts(folder):
    lm = textmill.load(folder)
    options = {"max_tokens": 20, "temperature": 1.0, "ignore_eos": True}
    assert len({tuple(lm.generate("a", seed=seed, **options).ids) for seed in range(10)}) == 10
    assert lm.generate("a", **options).ids != lm.generate("a", **options).ids  # no seed: a new one each time


def test_chunks_change_logits_less_than_the_tolerance(folder, monkeypatch):
    text = list(range(60))
    for kv in ("f32", "bf16"):
        runner = textmill.load(folder, kv=kv)._runner
        exact = runner.logits(text)[-1]
        for size in (60, 7, 1):
            number = runner.open(60)
            for start in range(0, 60, size):
                last = runner.extend(number, text[start : start + size])
            runner.close(number)
            assert np.abs(last - exact).max() < runner.tolerance


def test_a_run_is_its_last_good_checkpoint(tmp_path, folder, config, model, tokenizer):
    def small_files(unfinished):
        huggingface.write_small_files(unfinished, config, tokenizer, add_bos_token=True)

    run = tmp_path / "runs" / "mine"
    for step in (1, 2):
        save_checkpoint(run, step, model=model.state_dict(), optimizer={}, state={}, write_small_files=small_files)
    (run / "checkpoints" / "step-00000002" / "model.safetensors").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="step-00000002/model.safetensors is damaged.*taking the checkpoint before it"):
        loaded = textmill.load(run)
    assert loaded.generate("a", max_tokens=5) == textmill.load(folder).generate("a", max_tokens=5)


class TestPrecision:
    def dtype_of(self, lm):
        return lm._runner._model.model.norm.weight.dtype

    def test_auto_is_as_stored(self, folder, config, model, tokenizer, monkeypatch):
        assert self.dtype_of(textmill.load(folder)) == torch.float32
        tensors = {name: tensor.bfloat16() for name, tensor in model.state_dict().items()}
        save_model(folder, config, tensors, tokenizer)
        monkeypatch.setattr("textmill.infer.runners.torch._cpu_has_bf16", lambda: True)
        assert self.dtype_of(textmill.load(folder)) == torch.bfloat16
        monkeypatch.setattr("textmill.infer.runners.torch._cpu_has_bf16", lambda: False)
        assert self.dtype_of(textmill.load(folder)) == torch.float32

    def test_f16_and_mixtures_are_computed_in_f32(self, folder, config, model, tokenizer):
        save_model(folder, config, {name: tensor.half() for name, tensor in model.state_dict().items()}, tokenizer)
        assert self.dtype_of(textmill.load(folder)) == torch.float32
        mixed = {name: t.bfloat16() if t.ndim > 1 else t for name, t in model.state_dict().items()}
        arrays = {name: huggingface.as_numpy(tensor) for name, tensor in mixed.items()}
        safetensors.save(folder / "model.safetensors", arrays)
        assert self.dtype_of(textmill.load(folder)) == torch.float32

    def test_what_is_asked_for(self, folder):
        assert self.dtype_of(textmill.load(folder, weights="bf16")) == torch.bfloat16
        exact = textmill.load(folder, weights="f32").logits([1, 2, 3])
        rounded = textmill.load(folder, weights="bf16").logits([1, 2, 3])
        assert 0 < np.abs(exact - rounded).max() < 0.05 * np.abs(exact).max()  # 8 bits through two layers


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"weights": "int8"}, "native engine"),
            ({"weights": "file"}, "native engine"),
            ({"kv": "int8"}, "native engine"),
            ({"weights": "f23"}, 'did you mean "f32"'),
            ({"context": 65}, "context is 65, and must be 1 to 64"),
            ({"context": 0}, "1 to 64"),
            ({"threads": 0}, "threads"),
            ({"device": "tpu7"}, 'device is "tpu7"'),
        ],
    )
    def test_options(self, folder, options, message):
        with pytest.raises(ConfigError, match=message):
            textmill.load(folder, **options)

    def test_a_device_that_the_machine_lacks(self, folder):
        if torch.cuda.is_available():
            pytest.skip("this machine has one")
        with pytest.raises(ConfigError, match='device is "cuda"'):
            textmill.load(folder, device="cuda")

    def test_a_model_that_is_not_there(self, tmp_path):
        with pytest.raises(DataError, match="does not exist"):
            textmill.load(tmp_path / "nothing")

    def test_a_missing_tokenizer(self, folder, monkeypatch):
        monkeypatch.undo()
        (folder / "tokenizer.json").unlink()
        with pytest.raises(DataError, match=r"tokenizer\.json does not exist"):
            textmill.load(folder)

    def test_nan_in_the_weights(self, folder, config, model, tokenizer):
        model.model.norm.weight.fill_(float("nan"))
        save_model(folder, config, model.state_dict(), tokenizer)
        with pytest.raises(DataError, match="not finite"):
            textmill.load(folder).generate("a")

    def test_a_shorter_context(self, folder):
        lm = textmill.load(folder, context=8)
        assert len(lm.generate("a", max_tokens=50, ignore_eos=True).ids) == 6
        with pytest.raises(ConfigError, match="the context is 8"):
            lm.logits(range(9))


@pytest.mark.peer
@pytest.mark.parametrize("tied", [True, False])
def test_greedy_text_equals_transformers(tmp_path, config, tokenizer, monkeypatch, tied):
    from transformers import AutoModelForCausalLM

    monkeypatch.setattr("textmill.infer.engine.load_tokenizer", lambda folder, config: tokenizer)
    config = dataclasses.replace(config, tie_word_embeddings=tied, vocab_size=258)
    model = Llama(config).init_weights(2, residual="scaled")
    save_model(tmp_path / "model", config, model.state_dict(), tokenizer)
    ids = torch.tensor([[256, 5, 6, 7]])
    peer = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    expected = peer.generate(ids, max_new_tokens=40, do_sample=False, pad_token_id=0, attention_mask=ids >= 0)[0, 4:]
    expected = [token_id for token_id in expected.tolist() if token_id != 257]
    assert textmill.load(tmp_path / "model", kv="f32").generate(ids[0].tolist(), max_tokens=40).ids == expected


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
        "import textmill.model.config, textmill.model.flops, textmill.base.safetensors\n"
        "import textmill.checkpoint.huggingface, textmill.checkpoint.store, textmill.checkpoint.sources\n"
        "textmill.load\n"
        "assert 'torch' not in sys.modules\n"
    )
    assert done.returncode == 0, done.stderr


def test_loading_without_torch_says_how_to_install_it(folder):
    done = in_fresh_python(
        "import importlib.abc, sys\n"
        "class NoTorch(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "import textmill\n"
        "from textmill.base.errors import MissingExtraError\n"
        "from textmill.checkpoint.huggingface import load_tensors\n"
        "from pathlib import Path\n"
        "assert load_tensors(Path(sys.argv[1]))\n"
        "try:\n"
        "    textmill.load(sys.argv[1])\n"
        "except MissingExtraError as error:\n"
        "    print(error)\n",
        folder,
    )
    assert done.returncode == 0, done.stderr
    assert "pip install 'textmill[train]'" in done.stdout
