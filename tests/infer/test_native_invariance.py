"""The same answer every time: alone, in any batch, chunk, block and thread count, after a prefix hit, with guesses.

``TEXTMILL_INVARIANCE_CASES`` says how many random cases; 10,000 of them is the full length.
"""

import functools
import itertools
import os
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.tiny_adapter import random_factors
from infer.native_models import (
    exploding_tensors,
    logits_of,
    random_tensors,
    runner_of,
    small_config,
    with_random_blocks,
)
from infer.random_cases import check_case
from model.families import configs
from textmill.infer.batcher import Batcher
from textmill.infer.runners.native import NativeRunner
from textmill.infer.runners.native_adapters import Adapter
from textmill.infer.runners.runner import Chunk

NUM_CASES = int(os.environ.get("TEXTMILL_INVARIANCE_CASES", "84"))
TYPES = list(itertools.product(["f32", "bf16", "int8", "int4", "Q8_0", "Q4_0", "Q4_1"], ["bf16", "f32", "int8"]))
SLIDING = {"model_type": "qwen2", "qkv_bias": True, "sliding_window": 9, "sliding_layers": (1,)}
SHAPES = [{}, {"num_key_value_heads": 4}, {"num_key_value_heads": 1, "head_dim": 24}, SLIDING]


@pytest.fixture(params=["amx", "avx512", "avx2", "portable"])
def tier(request, monkeypatch):
    monkeypatch.setenv("TEXTMILL_ISA", request.param)
    if runner_of(small_config()).isa != request.param:
        pytest.skip(f"this processor has no {request.param}")
    return request.param


@functools.cache
def model(tier, shape, weights, kv, threads):
    config = small_config(vocab_size=24, **SHAPES[shape])
    tensors = random_tensors(config, seed=2)
    if weights == "Q4_1":
        tensors = with_random_blocks(tensors, weights)
    stored_as = weights if weights in ("Q8_0", "Q4_0") else "F32"
    weights = "auto" if weights.startswith("Q") else weights
    return runner_of(config, tensors, stored_as, weights=weights, kv=kv, threads=threads, adapters=adapters_of(config))


def adapters_of(config):
    """One that changes all matrices, and one of another rank that changes some."""
    shapes = config.tensor_shapes()
    some = random_factors(shapes, rank=18, seed=2, matrices=("k_proj", "o_proj", "up_proj"))
    return [
        Adapter(folder=Path("all"), scale=0.5, factors=random_factors(shapes, rank=3)),
        Adapter(folder=Path("some"), scale=0.2, factors=some),
    ]


def with_blocks(runner, kv, num_blocks):
    """The same weights and threads with a new cache."""
    runner._core.open_cache(kv, num_blocks)
    return NativeRunner(runner._core, num_blocks=num_blocks)


@pytest.mark.timeout(7200)
def test_any_batch_gives_every_answer_as_if_it_were_alone(tier):
    for seed in range(NUM_CASES if tier in ("amx", "avx512") else NUM_CASES // 4):
        rng = random.Random(seed)
        weights, kv = TYPES[seed % len(TYPES)]
        shape = rng.randrange(len(SHAPES))
        threads = itertools.cycle(rng.sample([1, 2, 3], 3))

        def make(*, num_blocks, **limits):
            runner = model(tier, shape, weights, kv, next(threads))  # noqa: B023
            return Batcher(with_blocks(runner, kv, num_blocks), **limits)  # noqa: B023

        longest = rng.choice([40, 100])
        check_case(seed, make, vocab_size=24, block_size=16, longest=longest, num_adapters=2)


@settings(deadline=None, max_examples=50)
@given(
    configs(own=True),
    st.data(),
    st.sampled_from(["f32", "bf16", "int8", "int4"]),
    st.sampled_from(["f32", "bf16", "int8"]),
)
def test_any_family_in_any_chunks(config, data, weights, kv):
    ids = np.random.default_rng(1).integers(0, config.vocab_size, 60).tolist()
    tensors = random_tensors(config)
    whole = logits_of(runner_of(config, tensors, weights=weights, kv=kv, threads=2), ids)
    cuts = sorted(data.draw(st.sets(st.integers(1, 59), max_size=12)))
    blocks = data.draw(st.permutations(range(9)))
    parts = runner_of(config, tensors, weights=weights, kv=kv, threads=data.draw(st.integers(1, 3)))
    assert np.array_equal(logits_of(parts, ids, cuts=cuts, blocks=blocks), whole)


@pytest.mark.parametrize("kv", ["bf16", "f32", "int8"])
@pytest.mark.parametrize("window", [None, 700])
def test_long_texts_in_any_chunks(tier, kv, window):
    """Over several splits of attention, shared out by tokens in long chunks and by splits in short ones."""
    changes = {} if window is None else SLIDING | {"sliding_window": window}
    config = small_config(**changes)
    tensors = random_tensors(config)
    ids = np.random.default_rng(1).integers(0, 60, 1300).tolist()
    whole = logits_of(runner_of(config, tensors, kv=kv, threads=2, context=2048), ids)
    runner = runner_of(config, tensors, kv=kv, threads=3, context=2048)
    for cuts in ([1, 9, 17, 500, 520, 1024, 1027], [512, 1024, *range(1290, 1300)]):
        assert np.array_equal(logits_of(runner, ids, cuts=cuts), whole)


@pytest.mark.parametrize("kv", ["bf16", "f32", "int8"])
def test_what_is_infinite_stays_with_those_that_see_it(tier, kv):
    """A weight of zero times infinity is no zero: neither for tokens before it nor for a text that gets its blocks."""
    config = small_config()
    runner = runner_of(config, exploding_tensors(config, 7), kv=kv)
    expected = logits_of(runner, [1, 2, 3, 4, 5])
    found = logits_of(runner, [1, 2, 3, 4, 7, 1] + [7] * 12)
    assert np.array_equal(found[:4], expected[:4])
    assert not np.isfinite(found[4:]).any()
    assert np.array_equal(logits_of(runner, [1, 2, 3, 4, 5]), expected)
    assert np.array_equal(logits_of(runner, [1, 2, 3, 4, 5], cuts=[1, 2, 3, 4]), expected)


def test_a_ragged_batch(tier):
    """Prompts in chunks and single tokens of other texts, some of them with adapters, in one pass."""
    config = small_config()
    runner = runner_of(config, weights="int8", kv="int8", threads=2, adapters=adapters_of(config))
    rng = np.random.default_rng(3)
    texts = [rng.integers(0, 60, length).tolist() for length in (40, 3, 90, 17, 1, 33)]
    adapters = [None, 0, 1, 0, None, 1]
    expected = [logits_of(runner, text, adapter=adapter) for text, adapter in zip(texts, adapters, strict=True)]
    tables = [list(range(8 * i, 8 * i + 8)) for i in range(len(texts))]
    done = [0] * len(texts)
    rows = [[] for _ in texts]
    while any(count < len(text) for count, text in zip(done, texts, strict=True)):
        chunks, owners = [], []
        for i in rng.permutation(len(texts)):
            size = min(int(rng.choice([0, 1, 1, 7, 30])), len(texts[i]) - done[i])
            if size:
                ids = texts[i][done[i] : done[i] + size]
                chunk = Chunk(ids=ids, start=done[i], blocks=tables[i], num_logits=size, adapter=adapters[i])
                chunks.append(chunk)
                owners.append(i)
                done[i] += size
        logits = runner.forward(chunks) if chunks else np.empty((0, 60))
        for i, part in zip(owners, np.split(logits, np.cumsum([len(c.ids) for c in chunks])[:-1]), strict=True):
            rows[i].append(part)
    for found, wanted in zip(rows, expected, strict=True):
        assert np.array_equal(np.concatenate(found), wanted)
