"""What a model takes, against figures that others worked out: by hand, and from the published weights."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textmill.checkpoint.stored_model import StoredTensor
from textmill.infer.runners.native_weights import kept_bytes
from textmill.model import machine
from textmill.model.config import ModelConfig
from textmill.model.estimate import estimate, tensor_bytes
from textmill.model.presets import NAMES, preset


def test_the_kv_cache_of_llama_7b():
    found = estimate(preset("llama-7b"), weights="f16", kv="f16", context=10_000)
    assert found.kv_bytes == 5_242_880_000
    assert found.weight_bytes == 2 * 6_738_415_616
    assert found.total_bytes == found.kv_bytes + found.weight_bytes


# Parameters as the published files have them.
PARAMETERS = {
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-33b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama-3.1-8b": 8_030_261_248,
    "tinyllama-1.1b": 1_100_048_384,
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "mistral-7b": 7_241_732_096,
    "qwen2.5-0.5b": 494_032_768,
    "qwen3-0.6b": 596_049_920,
}


@pytest.mark.parametrize("name", NAMES)
def test_the_presets_have_the_parameters_of_the_published_weights(name):
    assert preset(name).num_parameters == PARAMETERS[name]


@pytest.mark.parametrize(
    ("name", "megabytes", "per_s", "prefill_gflop", "kv_values"),
    [
        ("smollm2-135m", (269, 143, 75.6), (130, 245, 463), 0.212, 11_520),
        ("smollm2-360m", (724, 384, 204), (48, 91, 172), 0.629, 20_480),
        ("smollm2-1.7b", (3423, 1818, 963), (10, 19, 36), 3.22, 98_304),
        ("qwen2.5-0.5b", (988, 525, 278), (35, 67, 126), 0.716, 6_144),
    ],
)
def test_small_models_at_35_gigabytes_a_second(name, megabytes, per_s, prefill_gflop, kv_values):
    """Worked out by hand for weights in bf16, Q8_0 and Q4_0; to the digits that were written down."""
    for weights, size, speed in zip(("bf16", "q8_0", "q4_0"), megabytes, per_s, strict=True):
        found = estimate(preset(name), weights=weights, kv="bf16", context=2048)
        assert found.read_bytes / 1e6 == pytest.approx(size, rel=0.004)
        assert found.tokens_per_s(35e9, 0) == pytest.approx(speed, rel=0.04)
        assert found.prefill_flops / 1e9 == pytest.approx(prefill_gflop, rel=0.003)
        assert found.kv_bytes_per_token == 2 * kv_values
        assert found.copy_bytes == tensor_bytes((found.config.vocab_size, found.config.hidden_size), weights)


def test_an_input_table_that_is_not_the_head_is_not_read():
    config = preset("llama-7b")
    found = estimate(config, weights="bf16", kv="bf16", context=1)
    assert found.weight_bytes - found.read_bytes == 2 * config.vocab_size * config.hidden_size


def test_a_window_bounds_what_is_read_and_not_what_is_kept():
    found = estimate(preset("mistral-7b"), weights="bf16", kv="bf16", context=32_768)
    assert found.kv_bytes == 32_768 * found.kv_bytes_per_token
    assert found.step_bytes(32_768) == found.step_bytes(4096) == found.read_bytes + 4096 * found.kv_bytes_per_token


SIZES = st.builds(
    lambda layers, width, ff, heads, kv, tied, own: ModelConfig(
        model_type="textmill" if own else "llama",
        value_embeddings=own,
        vocab_size=100,
        hidden_size=32 * width * heads * kv,
        intermediate_size=32 * ff,
        num_hidden_layers=layers,
        num_attention_heads=heads * kv,
        num_key_value_heads=kv,
        head_dim=32,
        tie_word_embeddings=tied,
    ),
    *(st.integers(1, 4) for _ in range(5)),
    st.booleans(),
    st.booleans(),
)


TYPES = ["f32", "bf16", "f16", "q8_0", "q4_0", "int8", "int4"]


@given(SIZES, st.sampled_from(TYPES), st.sampled_from(["f32", "bf16", "f16", "int8"]), st.integers(1, 50))
def test_what_must_hold_for_all_models(config, weights, kv, batch):
    one = estimate(config, weights=weights, kv=kv, context=100)
    many = estimate(config, weights=weights, kv=kv, context=100, batch=batch)
    assert many.kv_bytes == batch * one.kv_bytes
    assert many.weight_bytes == one.weight_bytes
    assert many.tokens_per_s(1e9, 100) >= one.tokens_per_s(1e9, 100) - 1e-9, "the weights are read once for all"
    assert many.intensity(0) == pytest.approx(batch * one.intensity(0))
    assert one.tokens_per_s(1e9, 0) > one.tokens_per_s(1e9, 100)
    assert one.total_bytes == one.weight_bytes + one.copy_bytes + one.kv_bytes
    plain = {"f32": 4, "bf16": 2, "f16": 2}.get(weights)
    if plain is not None:
        assert one.weight_bytes == config.num_parameters * plain


@given(SIZES, st.sampled_from(["f32", "bf16", "int8", "int4"]))
def test_the_weights_take_what_the_engine_says_it_keeps(config, weights):
    shapes = config.tensor_shapes()
    shapes.setdefault("lm_head.weight", shapes["model.embed_tokens.weight"])
    stored = {
        name: StoredTensor(type="BF16", shape=shape, data=np.empty(2 * math.prod(shape), np.uint8))
        for name, shape in shapes.items()
    }
    found = estimate(config, weights=weights, kv="bf16", context=1)
    kept = sum(
        kept_bytes(name, tensor, weights)
        for name, tensor in stored.items()
        if len(tensor.shape) == 2 and "embed" not in name
    )
    vectors = sum(math.prod(shape) for shape in shapes.values() if len(shape) == 1)
    assert found.read_bytes == kept + vectors * (2 if weights == "bf16" else 4)


def test_int8_keys_and_values_have_a_scale_for_each_head():
    found = estimate(preset("smollm2-135m"), weights="bf16", kv="int8", context=10)
    assert found.kv_bytes == 10 * 2 * 30 * 3 * (64 + 4)


def test_rows_are_filled_up_to_whole_blocks():
    assert tensor_bytes((3, 33), "q4_0") == 3 * 2 * 18
    assert tensor_bytes((33,), "q4_0") == 33 * 4


def test_the_machine_has_memory_that_can_be_read():
    memory = machine.memory()
    assert 0 < memory.available <= memory.total
    assert 1e8 < machine.read_bandwidth(1, 1 << 22) < 1e13


@pytest.mark.parametrize(
    ("room", "limit", "used", "prefix"),
    [("", "memory.max", "memory.current", ""), ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_")],
)
def test_a_container_gives_back_the_files_that_it_keeps_in_memory(tmp_path, room, limit, used, prefix):
    """Both versions of cgroups. What was read of files counts as used, and as free where programs need it."""
    folder = tmp_path / room
    folder.mkdir(exist_ok=True)
    (folder / limit).write_text("1000000\n")
    (folder / used).write_text("900000\n")
    assert machine.memory(tmp_path) == (1_000_000, 100_000)
    (folder / "memory.stat").write_text(f"anon 5\n{prefix}inactive_file 600000\n{prefix}active_file 50000\nshmem 7\n")
    assert machine.memory(tmp_path) == (1_000_000, 750_000)
    (folder / limit).write_text("max\n")
    assert machine.memory(tmp_path).total > 1_000_000
