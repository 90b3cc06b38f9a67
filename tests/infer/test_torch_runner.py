"""A model run by torch, on the one device that every machine has: tokens, logits, precision, and what is refused."""

import functools

import numpy as np
import pytest
import torch

from infer.random_cases import check_case
from textmill.base import safetensors
from textmill.base.errors import ConfigError
from textmill.checkpoint import huggingface
from textmill.checkpoint.huggingface import save_model
from textmill.checkpoint.stored_model import open_model
from textmill.infer.batcher import Batcher
from textmill.infer.engine import LanguageModel
from textmill.infer.reference import logits_of
from textmill.infer.runners.runner import Chunk
from textmill.infer.runners.torch import TorchRunner, open_runner
from textmill.model.flops import kv_cache_bytes
from textmill.model.llama import Llama


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Models of these sizes gain nothing from a second thread, and lose much where the cores are busy."""
    torch.set_num_threads(1)


@pytest.fixture
def model(config):
    return Llama(config).init_weights(1, residual="scaled").requires_grad_(False)


@pytest.fixture
def folder(tmp_path, config, model, tokenizer):
    save_model(tmp_path / "model", config, model.state_dict(), tokenizer, add_bos_token=True)
    return tmp_path / "model"


@pytest.fixture
def load(folder, tokenizer):
    """Load the model, or what is in its folder by now, as ``textmill.load`` does on another device."""

    def load(**options):
        stored = open_model(folder)
        runner = open_runner(stored, device="cpu", context=64, **options)
        return LanguageModel(stored.config, tokenizer, stored.load_text_rules(tokenizer), Batcher(runner), context=64)

    return load


def test_logits_equal_the_model_and_the_numpy_twin(load, folder, config, model):
    ids = list(range(40, 90))
    logits = load(kv="f32").logits(ids)
    assert (logits.dtype, logits.shape) == (np.float32, (50, 260))
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(torch.tensor([ids]))[0].numpy(), atol=1e-5)  # the sums are cut in two
    expected = logits_of(config, safetensors.load(folder / "model.safetensors"), ids)
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_greedy_tokens_are_those_of_the_logits(load):
    lm = load(kv="f32")
    answer = lm.generate("Once", max_tokens=40, logprobs=3, ignore_eos=True)
    text = [256, *b"Once", *answer.ids]
    logits = lm.logits(text)[4:-1, :258].astype(np.float64)
    assert logits.argmax(-1).tolist() == answer.ids
    logprobs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(answer.logprobs, logprobs.max(-1), atol=1e-4)


@pytest.mark.parametrize("kv", ["f32", "bf16"])
def test_a_prompt_gives_the_same_alone_in_a_batch_and_streamed(load, kv):
    prompts = ["a", "Once upon a time", "a", [5, 6, 7]]
    options = {"max_tokens": 20, "temperature": 1.0, "top_p": 0.95, "seed": 11, "logprobs": 2}
    together = load(kv=kv).generate(prompts, **options)
    assert together == [load(kv=kv).generate(prompt, **options) for prompt in prompts]
    for prompt, answer in zip(prompts, together, strict=True):
        pieces = list(load(kv=kv).stream(prompt, **options))
        assert "".join(piece.text for piece in pieces) == answer.text
        assert [i for piece in pieces for i in piece.ids] == answer.ids
        assert [value for piece in pieces for value in piece.logprobs or ()] == answer.logprobs


def test_chunks_change_logits_less_than_the_tolerance(load, folder):
    text = list(range(60))
    for kv in ("f32", "bf16"):
        exact = load(kv=kv).logits(text)[-1]
        for size in (60, 7, 1):
            runner = open_runner(open_model(folder), device="cpu", kv=kv, context=64)
            for start in range(0, 60, size):
                ids = text[start : start + size]
                last = runner.forward([Chunk(ids=ids, start=start, blocks=(3, 1, 2, 0))])
            assert np.abs(last - exact).max() < runner.tolerance


def test_random_batches_are_made_as_if_each_answer_were_alone(model):
    """Rounded to steps that are wide beside the tolerance, logits are equal unless on an edge; here none is."""

    class Rounded(TorchRunner):
        def forward(self, chunks):
            return np.round(super().forward(chunks) * 4) / 4

    def make(*, num_blocks, **limits):
        return Batcher(Rounded(model, kv_dtype=torch.float32, num_blocks=num_blocks, block_size=4), **limits)

    for seed in range(4):
        check_case(seed, make, vocab_size=258, block_size=4)


def test_the_cache_has_room_for_a_text_or_what_it_is_given(folder, config):
    open_small = functools.partial(open_runner, open_model(folder), device="cpu", context=33)
    assert open_small().num_blocks >= 3
    block_bytes = kv_cache_bytes(config, 16, 4)
    assert open_small(kv="f32", kv_memory=5 * block_bytes + 1).num_blocks == 5
    with pytest.raises(ConfigError, match=r"kv_memory is 100 bytes, and the keys and values of 16 tokens are"):
        open_small(kv_memory=100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "int8"}, 'weights is "int8", which only the native engine has'),
        ({"weights": "file"}, "native engine"),
        ({"kv": "int8"}, "native engine"),
        ({"device": "tpu7"}, 'device is "tpu7"'),
    ],
)
def test_what_torch_does_not_have(folder, options, message):
    with pytest.raises(ConfigError, match=message):
        open_runner(open_model(folder), **{"device": "cpu", "context": 64} | options)


def test_a_device_that_the_machine_lacks(folder):
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ConfigError, match='device is "cuda"'):
        open_runner(open_model(folder), device="cuda", context=64)


class TestPrecision:
    def dtype_of(self, lm):
        return lm.batcher._runner._model.model.norm.weight.dtype

    def test_auto_is_as_stored(self, load, folder, config, model, tokenizer, monkeypatch):  # noqa: PLR0917  fixtures
        assert self.dtype_of(load()) == torch.float32
        tensors = {name: tensor.bfloat16() for name, tensor in model.state_dict().items()}
        save_model(folder, config, tensors, tokenizer)
        monkeypatch.setattr("textmill.infer.runners.torch._cpu_has_bf16", lambda: True)
        assert self.dtype_of(load()) == torch.bfloat16
        monkeypatch.setattr("textmill.infer.runners.torch._cpu_has_bf16", lambda: False)
        assert self.dtype_of(load()) == torch.float32

    def test_f16_and_mixtures_are_computed_in_f32(self, load, folder, config, model, tokenizer):
        save_model(folder, config, {name: tensor.half() for name, tensor in model.state_dict().items()}, tokenizer)
        assert self.dtype_of(load()) == torch.float32
        mixed = {name: t.bfloat16() if t.ndim > 1 else t for name, t in model.state_dict().items()}
        arrays = {name: huggingface.as_numpy(tensor) for name, tensor in mixed.items()}
        safetensors.save(folder / "model.safetensors", arrays)
        assert self.dtype_of(load()) == torch.float32

    def test_what_is_asked_for(self, load):
        assert self.dtype_of(load(weights="bf16")) == torch.bfloat16
        exact = load(weights="f32").logits([1, 2, 3])
        rounded = load(weights="bf16").logits([1, 2, 3])
        assert 0 < np.abs(exact - rounded).max() < 0.05 * np.abs(exact).max()  # 8 bits through two layers
