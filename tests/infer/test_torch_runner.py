"""A model run by torch, on the one device that every machine has: tokens, logits, precision, and what is refused.

What CUDA alone has stands in here, so that all that leads to it is computed: ``varlen_attn_in_steps`` for the attention
that reads pages, ``record_by_keeping`` for graphs.
"""

import functools
import itertools

import numpy as np
import pytest
import torch

from infer.native_models import exploding_tensors, small_config, stored_model
from infer.random_cases import check_case
from infer.torch_models import (
    CONFIGS,
    SDPA,
    VARLEN,
    largest_difference,
    model_of,
    random_steps,
    record_by_keeping,
    torch_runner,
)
from textmill.base import safetensors
from textmill.base.errors import ConfigError
from textmill.checkpoint import huggingface
from textmill.checkpoint.huggingface import save_model
from textmill.checkpoint.stored_model import open_model
from textmill.infer.batcher import Batcher
from textmill.infer.engine import LanguageModel
from textmill.infer.reference import logits_of
from textmill.infer.runners import native
from textmill.infer.runners.runner import Chunk
from textmill.infer.runners.torch import _reads_pages, open_runner
from textmill.infer.runners.torch_batch import DecodeBatch, ragged_batch
from textmill.infer.runners.torch_forward import Forward
from textmill.infer.runners.torch_graphs import NUM_TEXTS_MAX
from textmill.infer.runners.torch_pages import Pages
from textmill.infer.runners.torch_sdpa import SdpaAttention
from textmill.infer.runners.torch_varlen import VarlenAttention, why_not_varlen
from textmill.infer.runners.torch_weights import read_weights
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
def test_a_prompt_gives_the_same_tokens_alone_in_a_batch_and_streamed(load, kv):
    """Log-probabilities differ by what a cache in bf16 rounds; no draw here is so near an edge."""
    prompts = ["a", "Once upon a time", "a", [5, 6, 7]]
    options = {"max_tokens": 20, "temperature": 1.0, "top_p": 0.95, "seed": 11, "logprobs": 2}
    together = load(kv=kv).generate(prompts, **options)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = load(kv=kv).generate(prompt, **options)
        assert (alone.ids, alone.text, alone.finish_reason) == (answer.ids, answer.text, answer.finish_reason)
        np.testing.assert_allclose(alone.logprobs, answer.logprobs, atol=1e-5 if kv == "f32" else 0.02)
        pieces = list(load(kv=kv).stream(prompt, **options))
        assert "".join(piece.text for piece in pieces) == answer.text
        assert [i for piece in pieces for i in piece.ids] == answer.ids
        assert [value for piece in pieces for value in piece.logprobs or ()] == alone.logprobs


@pytest.mark.parametrize("name", CONFIGS)
def test_ragged_batches_of_every_family_equal_the_native_engine(name):
    """In f32 the native engine has one order of sums, torch another for each size: 3e-6 where logits reach 3."""
    stored = model_of(name)
    expected = native.open_runner(stored, kv="f32", context=64, threads=1, kv_memory=1 << 20)
    for seed, (attention, recorder) in enumerate(itertools.product([SDPA, VARLEN], [None, record_by_keeping])):
        runner = torch_runner(stored, num_blocks=80, attention=attention, recorder=recorder)
        difference, largest = largest_difference(random_steps(seed, stored.config, [expected, runner]))
        assert largest > 1.0
        assert difference < 2e-5


def test_a_long_text_beside_short_ones_equals_the_native_engine():
    """Windows in the middle of pages, and texts whose tables have many pages that others do not."""
    for name in ("llama-yarn", "qwen2-window"):
        stored = model_of(name, **({"sliding_window": 70} if name == "qwen2-window" else {}))
        expected = native.open_runner(stored, kv="f32", context=512, threads=1, kv_memory=1 << 21)
        for attention in (SDPA, VARLEN):
            runner = torch_runner(
                stored, block_size=16, num_blocks=100, attention=attention, recorder=record_by_keeping
            )
            steps = random_steps(7, stored.config, [expected, runner], num_texts=3, longest=500)
            assert largest_difference(steps)[0] < 5e-5


@pytest.mark.parametrize(
    ("attention", "weights", "kv"),
    [(way, dtype, dtype) for way in (SDPA, VARLEN) for dtype in ("f32", "bf16")] + [(SDPA, "f32", "bf16")],
)
def test_neighbours_and_chunks_change_logits_less_than_the_tolerance(attention, weights, kv):
    """The tolerance is for logits of 40, which bf16 keeps to 0.1; here they reach 3, a thirteenth of that."""
    stored = model_of("smollm3-window")
    open_one = functools.partial(torch_runner, stored, weights=weights, kv=kv, num_blocks=80, attention=attention)
    rng = np.random.default_rng(5)
    texts = [rng.integers(0, 60, length).tolist() for length in (60, 33, 5, 1)]
    alone = [open_one().forward([Chunk(ids=ids, start=0, blocks=range(15), num_logits=len(ids))]) for ids in texts]
    for size, recorder in itertools.product((60, 17, 4, 1), (None, record_by_keeping)):
        runner = open_one(recorder=recorder)
        blocks = rng.permutation(80)[:60].reshape(4, 15).tolist()
        for start in range(0, 60, size):
            chunks = [_chunk(ids, start, size, of) for ids, of in zip(texts, blocks, strict=True) if len(ids) > start]
            expected = [rows[start : start + size] for rows in alone if len(rows) > start]
            difference = np.abs(runner.forward(chunks) - np.concatenate(expected)).max()
            assert difference < runner.tolerance / 13


def _chunk(ids, start, size, blocks):
    new = ids[start : start + size]
    return Chunk(ids=new, start=start, blocks=blocks, num_logits=len(new))


def test_a_text_that_is_not_finite_leaves_others_alone():
    """Beside it in a batch, and on pages that it gave back."""
    config = small_config()
    stored = stored_model(config, exploding_tensors(config, 7))
    for recorder in (None, record_by_keeping):
        runner = torch_runner(stored, recorder=recorder)
        good = [Chunk(ids=[n], start=n, blocks=(0, 1), num_logits=1) for n in range(6)]
        expected = [runner.forward([chunk])[0] for chunk in good]
        for chunk, row in zip(good, expected, strict=True):
            bad = Chunk(ids=[7], start=chunk.start, blocks=(2, 3), num_logits=1)
            found = runner.forward([bad, chunk])
            assert not np.isfinite(found[0]).all()
            np.testing.assert_allclose(found[1], row, atol=1e-3)
        for chunk, row in zip(good, expected, strict=True):
            moved = Chunk(ids=chunk.ids, start=chunk.start, blocks=(2, 3), num_logits=1)
            np.testing.assert_allclose(runner.forward([moved])[0], row, atol=1e-3)


def test_no_logits_are_wanted():
    runner = torch_runner(model_of("mistral"))
    assert runner.forward([Chunk(ids=[1, 2], start=0, blocks=[0], num_logits=0)]).shape == (0, 60)
    assert runner.forward([Chunk(ids=[3], start=2, blocks=[0], num_logits=0)]).shape == (0, 60)


class TestGraphs:
    """Which steps are recorded, at which sizes, and what happens where that fails."""

    def decode(self, runner, num_texts, start=0, num_logits=1):
        """One more token of texts whose blocks lie side by side, five for each."""
        chunks = [
            Chunk(ids=[n % 60], start=start, blocks=range(5 * n, 5 * n + 5), num_logits=num_logits)
            for n in range(num_texts)
        ]
        return runner.forward(chunks)

    def test_a_graph_for_each_power_of_two(self):
        stored = model_of("mistral")
        runner = torch_runner(stored, num_blocks=400, block_size=128, recorder=record_by_keeping)
        plain = torch_runner(stored, num_blocks=400, block_size=128)
        for num_texts in (1, 2, 3, 4, 5, 7, NUM_TEXTS_MAX):
            np.testing.assert_allclose(self.decode(runner, num_texts), self.decode(plain, num_texts), atol=2e-5)
        assert runner.graphs.sizes == [(1, 2), (2, 2), (4, 2), (8, 2), (64, 2)]
        for start in range(1, 260):
            found, expected = self.decode(runner, 2, start), self.decode(plain, 2, start)
        np.testing.assert_allclose(found, expected, atol=2e-5)
        assert [size for size in runner.graphs.sizes if size[0] == 2] == [(2, 2), (2, 4)]

    def test_what_is_not_recorded(self):
        runner = torch_runner(model_of("mistral"), num_blocks=400, recorder=record_by_keeping)
        assert self.decode(runner, NUM_TEXTS_MAX + 1).shape == (NUM_TEXTS_MAX + 1, 60)
        self.decode(runner, 3, num_logits=0)
        runner.forward([Chunk(ids=[1, 2], start=0, blocks=[0])])
        assert runner.graphs.sizes == []

    def test_a_replay_computes_what_it_is_given_last(self):
        calls = []

        def record(work):
            recorded = record_by_keeping(work)
            return recorded._replace(replay=lambda: (calls.append(None), recorded.replay()))

        runner = torch_runner(model_of("mistral"), recorder=record)
        first = [self.decode(runner, 3, start) for start in range(4)]
        kept = [rows.copy() for rows in first]
        assert len(calls) == 4
        self.decode(runner, 4, 4)
        np.testing.assert_array_equal(first, kept)

    def test_where_recording_fails_steps_are_computed_without(self):
        def refuse(work):
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand more")

        stored = model_of("mistral")
        runner = torch_runner(stored, recorder=refuse)
        plain = torch_runner(stored)
        with pytest.warns(UserWarning, match="without CUDA graphs, which is slower: CUDA error: operation not perm"):
            found = self.decode(runner, 3)
        np.testing.assert_allclose(found, self.decode(plain, 3), atol=2e-5)
        np.testing.assert_allclose(self.decode(runner, 3, 1), self.decode(plain, 3, 1), atol=2e-5)  # warns no more


@pytest.mark.parametrize("way", [SdpaAttention, VarlenAttention])
@pytest.mark.parametrize("name", ["llama-biases", "qwen3-all", "mistral-window", "smollm3-window", "own"])
def test_a_pass_asks_nothing_of_the_device(way, name):
    """On tensors without values, where reading one is an error; torch's own varlen attention takes the arguments."""
    stored, device = model_of(name), torch.device("meta")
    with torch.inference_mode():
        sizes = {"num_blocks": 9, "block_size": 256, "dtype": torch.bfloat16, "device": device}
        pages = Pages(stored.config, **sizes)
        forward = Forward(stored.config, read_weights(stored, torch.bfloat16, device), pages, way(pages))
        places = {"block_size": 256, "spare_block": pages.spare_block, "device": device}
        lengths = [(1, 5), (20, 300), (3, 700), (1, 255), (40, 0)]
        chunks = [Chunk(ids=[1] * new, start=start, blocks=[0, 1, 2]) for new, start in lengths]
        ragged = ragged_batch(chunks, short_max=forward._attention.short_max, **places)
        single = DecodeBatch(num_texts=4, num_pages=2, **places).batch
        assert forward(ragged).shape == (5, 60)
        assert forward(single).shape == (4, 60)


@pytest.mark.parametrize("recorder", [None, record_by_keeping])
def test_random_batches_are_made_as_if_each_answer_were_alone(recorder):
    """Rounded to steps that are wide beside the differences, logits are equal unless on an edge; here none is."""
    stored = model_of("mistral-window")

    class Rounded:
        tolerance = 1e-3
        block_size = 4

        def __init__(self, num_blocks):
            self.num_blocks = num_blocks
            self.runner = torch_runner(stored, num_blocks=num_blocks, recorder=recorder)

        def forward(self, chunks):
            return np.round(self.runner.forward(chunks) * 4) / 4

    def make(*, num_blocks, **limits):
        return Batcher(Rounded(num_blocks), **limits)

    for seed in range(4):
        check_case(seed, make, vocab_size=58, block_size=4)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"device": "cpu"}, "cpu is no CUDA device"),
        ({"weights_dtype": torch.float32}, "weights are in torch.float32 and keys and values in torch.bfloat16"),
        ({"kv_dtype": torch.float32}, "weights are in torch.bfloat16 and keys and values in torch.float32"),
        ({"head_dim": 20}, "head_dim is 20, which must be a multiple of 8"),
        ({"head_dim": 264}, "head_dim is 264"),
    ],
)
def test_why_a_model_cannot_attend_over_pages(changes, reason):
    asked = {"device": "cuda", "weights_dtype": torch.bfloat16, "kv_dtype": torch.bfloat16, "head_dim": 64} | changes
    assert reason in why_not_varlen(torch.device(asked.pop("device")), **asked)


def test_a_gpu_that_gathers_pages_says_why_and_what_to_do():
    """Weights in 16 bits of the other kind are the case that nobody expects: a folder in f16, cached in bf16."""
    asked = {"weights_dtype": torch.float16, "kv_dtype": torch.bfloat16, "head_dim": 64}
    said = r"gathers its pages on cuda, which is slower: weights are in torch\.float16 .*weights bf16, kv bf16"
    with pytest.warns(UserWarning, match=said):
        assert not _reads_pages(torch.device("cuda"), **asked)
    assert not _reads_pages(torch.device("cpu"), **asked)  # where nobody expects more


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
        ({"device": "tpu7"}, 'device is "tpu7".*Take "cpu"'),
        ({"device": "meta"}, r'device is "meta", which cannot be used here \(.*no data.*Take "cpu".*"cuda" where'),
        ({"device": "hpu"}, r'device is "hpu", which cannot be used here \(No module named .*Take "cpu"'),
        ({"device": ["cpu"]}, r"device is \"\['cpu'\]\""),
    ],
)
def test_what_torch_does_not_have(folder, options, message):
    with pytest.raises(ConfigError, match=message):
        open_runner(open_model(folder), **{"device": "cpu", "context": 64} | options)


@pytest.mark.parametrize("options", [{}, {"use_varlen": False, "use_graphs": False}])
def test_on_the_cpu_nothing_is_recorded(folder, options):
    runner = open_runner(open_model(folder), device="cpu", context=64, **options)
    assert (runner.attention.name, runner.graphs, runner.block_size) == ("sdpa", None, 16)


def test_a_device_that_the_machine_lacks(folder):
    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ConfigError, match='device is "cuda"'):
        open_runner(open_model(folder), device="cuda", context=64)


class TestPrecision:
    def dtype_of(self, lm):
        return lm.batcher._runner.weights.dtype

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
