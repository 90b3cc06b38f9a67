"""The native engine beside its numpy twin: every family, weights and keys and values in every type, on every tier."""

import dataclasses
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer.native_models import (
    exploding_tensors,
    logits_of,
    random_blocks,
    random_tensors,
    runner_of,
    small_config,
    store,
    stored_model,
)
from model.families import configs
from textmill.base import gguf_blocks
from textmill.base.errors import ConfigError, DataError
from textmill.checkpoint.stored_model import StoredTensor
from textmill.infer import reference
from textmill.infer.runners import native
from textmill.infer.runners.native import open_runner
from textmill.model.machine import Memory

IDS = np.random.default_rng(5).integers(0, 60, 70).tolist()


@pytest.fixture(params=["amx", "avx512", "avx2", "portable"])
def tier(request, monkeypatch):
    monkeypatch.setenv("TEXTMILL_ISA", request.param)
    runner = runner_of(small_config())
    if runner.isa != request.param:
        pytest.skip(f"this processor has no {request.param}")
    return request.param


def twin(config, tensors, ids):
    return reference.logits_of(config, {name: t.astype(np.float64) for name, t in tensors.items()}, ids)


def relative(ours, exact):
    """The root mean square of the difference, relative to that of the logits."""
    return np.sqrt(np.mean((ours - exact) ** 2) / np.mean(exact**2))


@settings(deadline=None, max_examples=60)
@given(configs(own=True), st.integers(0, 99), st.sampled_from(["amx", "avx512", "avx2", "portable"]))
def test_every_family_equals_its_twin(config, seed, tier):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TEXTMILL_ISA", tier)
        tensors = random_tensors(config, seed)
        ids = np.random.default_rng(seed).integers(0, config.vocab_size, 45).tolist()
        ours = logits_of(runner_of(config, tensors), ids)
    exact = twin(config, tensors, ids)
    # Sums of products in f32; narrow random models magnify their rounding, the worst of 2,000 by 2e-5. One whose
    # softmax YaRN sharpened had 2.6e-4, and the twin in f32 1.7e-4: what f32 loses there is no fault of the engine's.
    rounding = np.abs(reference.logits_of(config, tensors, ids) - exact).max()
    assert np.abs(ours - exact).max() <= max(2e-4 * max(1.0, np.abs(exact).max()), 4 * rounding)


class TestLongTexts:
    """Beyond one split of attention, which is 512 tokens."""

    @pytest.mark.parametrize("window", [None, 5, 100, 600])
    def test_equal_the_twin(self, tier, window):
        changes = {} if window is None else {"model_type": "qwen2", "qkv_bias": True, "sliding_window": window}
        config = small_config(**changes, **({"sliding_layers": (1,)} if window else {}))
        tensors = random_tensors(config)
        ids = np.random.default_rng(1).integers(0, 60, 1100).tolist()
        ours = logits_of(runner_of(config, tensors, context=2048), ids)
        exact = twin(config, tensors, ids)
        # Angles are floats: at 1,100 rad they are off by up to 6e-5.
        assert np.abs(ours - exact).max() <= 5e-4 * np.abs(exact).max()


class TestTypes:
    """Tolerances are twice what was measured, of the root mean square of logits."""

    @pytest.mark.parametrize(
        ("weights", "kv", "tolerance"),
        [
            ("f32", "f32", 1e-6),
            ("bf16", "f32", 0.015),  # 8 bits of weights and, where the CPU has bf16, of inputs
            ("int8", "f32", 0.03),  # 7 bits of the largest of 32
            ("int4", "f32", 0.25),
            ("f32", "bf16", 0.01),
            ("f32", "int8", 0.03),
        ],
    )
    def test_how_far_rounding_goes(self, tier, weights, kv, tolerance):
        config = small_config()
        tensors = random_tensors(config, deviation=0.1)
        ours = logits_of(runner_of(config, tensors, weights=weights, kv=kv), IDS)
        assert relative(ours, twin(config, tensors, IDS)) <= tolerance

    @pytest.mark.parametrize(
        "kind", ["F32", "F16", "BF16", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q4_0", "Q4_1"]
    )
    def test_what_files_store(self, tier, kind):
        """The values are those that gguf's own reading gives; what is not rounded again equals the twin."""
        config = small_config(hidden_size=256, intermediate_size=256, num_attention_heads=16, num_hidden_layers=1)
        rng = np.random.default_rng(3)
        tensors = random_tensors(config, deviation=0.1)
        for name, values in tensors.items():
            if values.ndim != 2:
                continue
            if kind in gguf_blocks.WRITABLE and not kind.startswith("Q"):
                tensors[name] = store(values, kind)
            else:
                tensors[name] = StoredTensor(type=kind, shape=values.shape, data=random_blocks(kind, values.shape, rng))
        exact = {
            name: gguf_blocks.dequantize(t.type, t.data, t.shape) if isinstance(t, StoredTensor) else t
            for name, t in tensors.items()
        }
        ours = logits_of(runner_of(config, tensors), IDS)
        tolerance = {"BF16": 0.01, "Q8_0": 0.04, "Q4_0": 0.04, "Q4_1": 0.04}.get(kind, 2e-5)
        assert relative(ours, twin(config, exact, IDS)) <= tolerance
        computed = runner_of(config, tensors, weights="f32")
        assert relative(logits_of(computed, IDS), twin(config, exact, IDS)) <= 2e-5

    def test_rows_in_another_order(self):
        config = small_config(qkv_bias=True, o_bias=True)
        tensors = random_tensors(config)
        expected = logits_of(runner_of(config, tensors), IDS)
        for name in ("self_attn.q_proj.weight", "self_attn.q_proj.bias"):
            name = f"model.layers.1.{name}"
            order = np.random.default_rng(1).permutation(len(tensors[name]))
            shuffled = np.empty_like(tensors[name])
            shuffled[order] = tensors[name]
            tensors[name] = dataclasses.replace(store(shuffled), row_order=order.astype(np.int64))
        assert np.array_equal(logits_of(runner_of(config, tensors), IDS), expected)

    def test_blocks_of_a_file_are_not_rounded_again(self):
        config = small_config()
        tensors = random_tensors(config)
        for kind, weights in (("Q8_0", "file"), ("Q4_0", "file"), ("BF16", "bf16")):
            auto = logits_of(runner_of(config, tensors, kind), IDS)
            assert np.array_equal(logits_of(runner_of(config, tensors, kind, weights=weights), IDS), auto)


class TestRefusals:
    def test_blocks_that_the_engine_does_not_compute_with(self):
        config = small_config(hidden_size=256, intermediate_size=256)
        tensors = random_tensors(config)
        name = "model.layers.0.mlp.up_proj.weight"
        data = random_blocks("Q6_K", tensors[name].shape, np.random.default_rng(1))
        tensors[name] = StoredTensor(type="Q6_K", shape=tensors[name].shape, data=data)
        with pytest.raises(ConfigError, match='is stored as Q6_K.*weights "auto"'):
            runner_of(config, tensors, weights="file")

    def test_a_folder_has_no_blocks(self, tmp_path):
        stored = stored_model(small_config(), random_tensors(small_config()), path=tmp_path)
        with pytest.raises(ConfigError, match="is a folder"):
            open_runner(stored, weights="file", context=64)

    @pytest.mark.parametrize(
        "name",
        [
            "model.embed_tokens.weight",
            "model.norm.weight",
            "model.layers.1.mlp.down_proj.weight",
            "lm_head.weight",
            "model.layers.0.self_attn.k_proj.bias",
        ],
    )
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("weights", ["auto", "int4"])
    def test_what_is_not_finite(self, name, bad, weights):
        config = small_config(qkv_bias=True, o_bias=True)
        tensors = random_tensors(config)
        tensors[name].reshape(-1)[-1] = bad
        with pytest.raises(DataError, match=f"{name}.*not finite"):
            runner_of(config, tensors, weights=weights)

    def test_scales_that_are_not_finite(self):
        config = small_config()
        for kind, at in (("Q8_0", 0), ("Q4_0", 0), ("Q4_1", 0), ("Q4_1", 2)):
            tensors = random_tensors(config)
            name = "model.layers.1.self_attn.o_proj.weight"
            data = random_blocks(kind, tensors[name].shape, np.random.default_rng(1)).copy()
            data[at : at + 2] = np.array([np.inf], np.float16).view(np.uint8)
            tensors[name] = StoredTensor(type=kind, shape=tensors[name].shape, data=data)
            with pytest.raises(DataError, match="rows 0 to 15 hold a value that is not finite"):
                runner_of(config, tensors)

    def test_values_that_the_type_cannot_hold(self):
        config = small_config()
        tensors = random_tensors(config)
        tensors["model.layers.0.mlp.gate_proj.weight"][50, 3] = 3.4e38
        for weights in ("bf16", "int8", "int4"):
            with pytest.raises(DataError, match="rows 48 to 63 hold a value that is not finite, or too large"):
                runner_of(config, tensors, weights=weights)
        tensors["lm_head.weight"][-1, 0] = np.nan
        with pytest.raises(DataError, match=r"lm_head\.weight: rows 48 to 59 hold"):
            runner_of(config, tensors, weights="f32")

    @pytest.mark.parametrize("weights", ["f32", "bf16", "int8", "int4"])
    @pytest.mark.parametrize("kv", ["f32", "bf16", "int8"])
    def test_overflow_is_not_hidden(self, tier, weights, kv):
        """Inputs that are rounded to eight bits keep what is not finite in their scale."""
        config = small_config()
        tensors = random_tensors(config)
        tensors["model.layers.0.mlp.down_proj.weight"] *= 1e30
        tensors["model.layers.0.mlp.up_proj.weight"] *= 1e30
        if weights in ("int8", "int4"):  # their scales are float16
            tensors["model.layers.0.mlp.down_proj.weight"] *= 1e-26
            tensors["model.layers.0.mlp.up_proj.weight"] *= 1e-26
            tensors["model.layers.0.post_attention_layernorm.weight"] *= np.float32(1e36)
        logits = logits_of(runner_of(config, tensors, weights=weights, kv=kv), IDS[:20])
        assert not np.isfinite(logits).all(axis=1).any()

    @pytest.mark.parametrize("kv", ["f32", "bf16", "int8"])
    def test_scores_beyond_all_floats_are_not_another_texts_answer(self, tier, kv):
        """Each is minus infinity: what a text sees must not pass for nothing, and then for what lay there before."""
        config = small_config(num_key_value_heads=4, qkv_bias=True, o_bias=True)
        tensors = random_tensors(config)
        tensors["model.layers.1.self_attn.q_proj.bias"][:] = 1e25
        tensors["model.layers.1.self_attn.k_proj.bias"][:] = -1e25
        runner = runner_of(config, tensors, kv=kv)
        for ids in ([1] * 12, [2, 3, 4], [1] * 12, [5]):
            assert np.isnan(logits_of(runner, ids)).all()

    @pytest.mark.parametrize("weights", ["f32", "bf16", "int8", "int4"])
    def test_a_text_that_is_not_finite_leaves_no_mark(self, tier, weights):
        config = small_config(hidden_size=24, intermediate_size=40, num_attention_heads=2, num_key_value_heads=1)
        runner = runner_of(config, exploding_tensors(config, 7), weights=weights)
        expected = logits_of(runner, [1, 2, 3])
        assert np.isfinite(expected).all()
        assert not np.isfinite(logits_of(runner, [7, 7, 7])).any()
        assert np.array_equal(logits_of(runner, [1, 2, 3]), expected)

    def test_more_threads_than_the_system_starts(self, monkeypatch):
        def start(**_):
            raise RuntimeError("Resource temporarily unavailable")

        monkeypatch.setattr(native._core, "Inference", start)
        with pytest.raises(ConfigError, match="does not start 1 threads.*ask for fewer"):
            runner_of(small_config())

    def test_more_than_the_memory_holds(self, monkeypatch):
        monkeypatch.setattr(native, "memory", lambda: Memory(1000, 1000))
        with pytest.raises(ConfigError, match=r"takes .* of memory with weights auto, and 1 kB are free.*int4"):
            runner_of(small_config())

    def test_too_little_memory_for_keys_and_values(self):
        with pytest.raises(ConfigError, match="kv_memory is 100 bytes, and the keys and values of 16 tokens take"):
            runner_of(small_config(), kv_memory=100)

    def test_heads_that_are_too_wide(self):
        config = small_config(head_dim=514)
        with pytest.raises(ConfigError, match="head_dim is 514, and may be 512 at most"):
            runner_of(config)

    def test_an_unknown_tier(self, monkeypatch):
        monkeypatch.setenv("TEXTMILL_ISA", "sse9")
        with pytest.raises(ConfigError, match='TEXTMILL_ISA is "sse9"'):
            runner_of(small_config())


class TestRoom:
    @pytest.mark.parametrize(
        ("free", "kv_memory", "blocks"),
        [
            (1 << 22, None, 8 * 64),  # eight contexts, which are less than a quarter of it
            (1 << 20, None, 4 * 64),  # a quarter of it
            (80 * 1024, None, 64),  # one
            (40 * 1024, None, 40),  # what there is
            (16 * 1024, None, 16),
            (1 << 20, 5 * 1024, 5),
        ],
    )
    def test_how_many_blocks(self, free, kv_memory, blocks):
        assert native._blocks_within(free, block_bytes=1024, one_context=64, kv_memory=kv_memory) == blocks

    @pytest.mark.parametrize(
        ("free", "kv_memory", "message"),
        [
            (15 * 1024, None, "15.4 kB of memory are left for keys and values, and those of 16 tokens take 1.02 kB"),
            (1 << 20, 1000, "kv_memory is 1,000 bytes"),
            (1 << 20, 1 << 21, "kv_memory is 2.1 MB, and 1.05 MB of memory are free"),
        ],
    )
    def test_too_little(self, free, kv_memory, message):
        with pytest.raises(ConfigError, match=message):
            native._blocks_within(free, block_bytes=1024, one_context=64, kv_memory=kv_memory)

    def test_a_context_at_least(self):
        runner = runner_of(small_config(), context=100, kv_memory=None)
        assert 7 <= runner.num_blocks <= 8 * 7

    def test_a_long_context_takes_memory_only_as_it_fills(self):
        config = small_config(max_position_embeddings=1 << 20)
        runner = runner_of(config, context=1 << 20, kv_memory=None)
        assert runner.num_blocks * runner.block_size >= 1 << 20
        before = _resident_bytes()
        logits_of(runner, IDS)
        assert _resident_bytes() - before < 64 << 20


def _resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class TestThreads:
    @pytest.mark.alone
    def test_an_idle_model_uses_no_processor(self):
        runner = runner_of(small_config(), threads=4)
        logits_of(runner, IDS)
        time.sleep(0.1)  # spinning ends after some 50 us
        before = time.process_time()
        time.sleep(1.0)
        assert time.process_time() - before < 0.1  # one thread that spins takes 1

    def test_a_forked_child_starts_its_own(self):
        runner = runner_of(small_config(), threads=3)
        expected = logits_of(runner, IDS)
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if np.array_equal(logits_of(runner, IDS), expected) else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        assert np.array_equal(logits_of(runner, IDS), expected)

    def test_many_python_threads_share_a_runner(self):
        from concurrent.futures import ThreadPoolExecutor

        runner = runner_of(small_config(), threads=2)
        expected = logits_of(runner, IDS)
        places = [range(i * 8, i * 8 + 5) for i in range(8)]
        with ThreadPoolExecutor(8) as pool:
            for logits in pool.map(lambda blocks: logits_of(runner, IDS, blocks=blocks), places):
                assert np.array_equal(logits, expected)
