"""The torch runner on a CUDA device: attention over pages and graphs, beside gathered pages and the native engine."""

import itertools

import numpy as np
import pytest
import torch

from infer.native_models import exploding_tensors, small_config, stored_model
from infer.torch_models import CONFIGS, largest_difference, model_of, random_steps
from textmill.infer.runners import native
from textmill.infer.runners.runner import Chunk
from textmill.infer.runners.torch import open_runner
from textmill.infer.runners.torch_graphs import NUM_TEXTS_MAX

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")]

# Flash attention takes heads of a multiple of 8.
PAGED = [name for name in CONFIGS if "head_dim" not in CONFIGS[name] or CONFIGS[name]["head_dim"] % 8 == 0]


def on_cuda(stored, dtype, **options):
    """In f32 attention is not asked to read pages, which it would warn that it cannot."""
    options = {"use_varlen": dtype == "bf16", "kv": dtype, "context": 1024, "kv_memory": 1 << 26} | options
    return open_runner(stored, device="cuda", weights=dtype, **options)


def paged(stored, **options):
    """Attention over pages in bf16, where the device has it."""
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("flash attention needs compute capability 8.0")
    runner = on_cuda(stored, "bf16", **options)
    assert (runner.attention.name, runner.block_size) == ("varlen", 256)
    return runner


@pytest.mark.parametrize("name", CONFIGS)
def test_gathered_pages_equal_the_native_engine(name):
    """Both in f32, whose products torch does not round to TF32 unless asked to."""
    stored = model_of(name)
    expected = native.open_runner(stored, kv="f32", context=64, threads=1, kv_memory=1 << 20)
    runner = on_cuda(stored, "f32")
    assert runner.attention.name == "sdpa"
    assert largest_difference(random_steps(1, stored.config, [expected, runner]))[0] < 2e-4
    assert runner.graphs.sizes


@pytest.mark.parametrize("name", PAGED)
@pytest.mark.parametrize("use_graphs", [True, False])
def test_attention_over_pages_equals_gathered_pages(name, use_graphs):
    """In bf16, whose rounding moved logits of 3 by up to 0.035 between these two ways on the CPU."""
    stored = model_of(name)
    runners = [paged(stored, use_graphs=use_graphs), on_cuda(stored, "bf16", use_varlen=False, use_graphs=False)]
    assert largest_difference(random_steps(2, stored.config, runners))[0] < 0.1
    assert bool(runners[0].graphs and runners[0].graphs.sizes) == use_graphs


def test_other_bits_than_the_cache_has_are_told_of():
    with pytest.warns(UserWarning, match="gathers its pages on cuda:0, which is slower: weights are in torch.float32"):
        runner = on_cuda(model_of("mistral"), "f32", kv="bf16", use_varlen=True)
    assert runner.attention.name == "sdpa"


@pytest.mark.parametrize("window", [None, 300])
def test_texts_of_several_pages(window):
    """Beside the native engine in bf16, from which logits of short texts differed by up to 0.075 on the CPU."""
    changes = {"sliding_window": window, "sliding_layers": (0, 2)} if window else {}
    stored = model_of("qwen2-window" if window else "mistral", **changes)
    expected = native.open_runner(stored, weights="bf16", kv="bf16", context=1024, threads=1, kv_memory=1 << 22)
    steps = random_steps(3, stored.config, [expected, paged(stored)], num_texts=4, longest=900)
    assert largest_difference(steps)[0] < 0.2


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_neighbours_change_little(dtype):
    stored = model_of("mistral")
    runner = on_cuda(stored, dtype)
    rng = np.random.default_rng(1)
    texts = [rng.integers(0, 60, 40).tolist() for _ in range(NUM_TEXTS_MAX + 3)]
    blocks = [[3 * n, 3 * n + 1, 3 * n + 2] for n in range(len(texts))]
    alone = [
        runner.forward([Chunk(ids=i, start=0, blocks=b, num_logits=40)]) for i, b in zip(texts, blocks, strict=True)
    ]
    for at, num_texts in itertools.product(range(38, 40), (1, 3, 8, 33, len(texts))):
        chunks = [Chunk(ids=[texts[n][at]], start=at, blocks=blocks[n]) for n in range(num_texts)]
        expected = np.stack([alone[n][at] for n in range(num_texts)])
        assert np.abs(runner.forward(chunks) - expected).max() < runner.tolerance / 13  # whose logits reach 3, not 40


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_a_text_that_is_not_finite_leaves_others_alone(dtype):
    config = small_config()
    runner = on_cuda(stored_model(config, exploding_tensors(config, 7)), dtype)
    good = [Chunk(ids=[n], start=n, blocks=(0,)) for n in range(6)]
    expected = [runner.forward([chunk])[0] for chunk in good]
    for chunk, row in zip(good, expected, strict=True):
        found = runner.forward([Chunk(ids=[7], start=chunk.start, blocks=(2,)), chunk])
        assert not np.isfinite(found[0]).all()
        np.testing.assert_allclose(found[1], row, atol=runner.tolerance)
    for chunk, row in zip(good, expected, strict=True):
        moved = Chunk(ids=chunk.ids, start=chunk.start, blocks=(2,))
        np.testing.assert_allclose(runner.forward([moved])[0], row, atol=runner.tolerance)
