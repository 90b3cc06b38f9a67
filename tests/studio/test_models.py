"""Positions, memory and attention of a model, against what computes them elsewhere."""

import dataclasses
import json
import math

import numpy as np
import pytest

from fakes.tiny_model import tokenizer
from textmill.checkpoint.stored_model import open_model
from textmill.infer.reference import logits_of, softmax
from textmill.model.config import ModelConfig
from textmill.model.estimate import estimate
from textmill.model.rope_scaling import LinearScaling, Llama3Scaling, YarnScaling, rope_frequencies
from textmill.studio.attention import StoredWeights, attend, most_tokens
from textmill.studio.packed import packed, unpacked
from textmill.studio.positions import positions_of, scaling_of, told_scaling

SCALINGS = [
    None,
    LinearScaling(factor=4.0),
    Llama3Scaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64),
    YarnScaling(factor=4.0, original_max_position_embeddings=64),
]


@pytest.fixture(scope="module")
def stored(place):
    return open_model(place / "tiny")


@pytest.mark.parametrize("scaling", SCALINGS)
def test_positions_are_those_that_the_model_is_run_with(stored, scaling):
    config = dataclasses.replace(stored.config, rope_scaling=scaling)
    told = json.loads(json.dumps(positions_of(config)))
    frequencies, factor = rope_frequencies(config)
    pairs = told["pairs"]
    assert np.array_equal(np.array(pairs["frequency"], np.float32), frequencies)
    assert told["attention_factor"] == factor
    for pair, (frequency, wavelength) in enumerate(zip(pairs["frequency"], pairs["wavelength"], strict=True)):
        assert math.isclose(frequency * wavelength, 2 * math.pi, rel_tol=1e-6)
        plain = config.rope_theta ** (-2 * pair / config.head_dim)
        assert math.isclose(pairs["plain_frequency"][pair], plain, rel_tol=1e-6)
        assert math.isclose(pairs["divided_by"][pair], plain / frequency, rel_tol=1e-5)
        assert pairs["dims"][pair] == [pair, pair + config.head_dim // 2]
    assert told["scaling"] == told_scaling(scaling)
    assert scaling is None or scaling_of(told["scaling"]) == scaling


def test_positions_of_numbers_are_those_of_a_model_with_them(studio, stored):
    own = studio.get("/api/positions?model=tiny")
    config = stored.config
    body = {"head_dim": config.head_dim, "rope_theta": config.rope_theta, "context": config.max_position_embeddings}
    assert studio.post("/api/positions", body)["pairs"] == own["pairs"]
    scaled = studio.post("/api/positions", body | {"scaling": {"kind": "linear", "factor": 2}})
    assert np.allclose(scaled["pairs"]["wavelength"], 2 * np.array(own["pairs"]["wavelength"]))


def test_a_checkpoint_is_named_by_its_step(studio):
    assert studio.get("/api/positions?model=second@10")["rope_theta"] == 10_010
    assert studio.get("/api/positions?model=second@20")["rope_theta"] == 10_020
    told = studio.get("/api/models/second@10")
    assert (told["kind"], told["steps"], told["has_chat_template"]) == ("run", [10, 20], True)


def test_the_memory_bill_is_the_estimates(studio, stored):
    told = studio.get("/api/memory?model=tiny&context=100&batch=3&weights=int8&kv=int8")
    bill = estimate(stored.config, weights="int8", kv="int8", context=100, batch=3)
    for name in ("weight_bytes", "copy_bytes", "kv_bytes_per_token", "kv_bytes", "total_bytes"):
        assert told[name] == getattr(bill, name)
    assert told["steps"]["tokens"] == [1, 2, 4, 8, 16, 32, 64, 100]
    assert [choice["name"] for choice in told["choices"]] == ["multi-head", "grouped-query", "multi-query"]
    more = studio.get("/api/memory?model=tiny&context=100&num_key_value_heads=4&kv=int8")
    assert more["kv_bytes_per_token"] == 2 * told["kv_bytes_per_token"] == told["choices"][0]["kv_bytes_per_token"]


def test_maps_of_attention_are_those_of_the_twin(studio, stored):
    text = "the quick brown fox"
    events = studio.post("/api/attention", {"model": "tiny", "text": text})
    assert [name for name, _ in events] == ["start", "layer", "layer", "end"]
    start, end = events[0][1], events[-1][1]
    rules = stored.load_text_rules(tokenizer())
    ids = [*rules.prefix_ids, *tokenizer().encode(text)]
    assert start["ids"] == ids
    assert start["key_value_head"] == [0, 0, 1, 1]
    config, num_tokens = stored.config, len(ids)
    for name, layer in events[1:-1]:
        map_HTT = unpacked(layer["maps"]).astype(np.float32)
        assert name == "layer"
        assert map_HTT.shape == (config.num_attention_heads, num_tokens, num_tokens)
        assert np.allclose(map_HTT.sum(axis=-1), 1.0, atol=2e-3)  # float16 of each of a few terms
        assert not np.triu(map_HTT, 1).any()
        assert np.allclose(layer["first_token_share"], map_HTT[:, :, 0].mean(axis=-1), atol=1e-3)
        assert unpacked(layer["key_norms"]).shape == (config.num_key_value_heads, num_tokens)
    logits_V = logits_of(config, StoredWeights(stored), ids)[-1][: tokenizer().vocab_size]
    probabilities = softmax(logits_V[None])[0]
    assert end["next"][0]["id"] == int(probabilities.argmax())
    assert math.isclose(end["next"][0]["probability"], probabilities.max(), abs_tol=1e-5)


@pytest.mark.peer
@pytest.mark.parametrize("scaling", [None, SCALINGS[3]])
def test_maps_of_attention_are_those_of_transformers(tmp_path, scaling):
    import torch
    from transformers import LlamaForCausalLM

    from fakes.tiny_model import write_model

    write_model(tmp_path, rope_scaling=scaling)
    stored = open_model(tmp_path)
    ids = list(range(20, 44))
    told = [data for name, data in attend(stored, tokenizer(), ids) if name == "layer"]
    model = LlamaForCausalLM.from_pretrained(tmp_path, attn_implementation="eager", dtype=torch.float32)
    with torch.no_grad():
        output = model(torch.tensor([ids]), output_attentions=True)
    for layer, theirs in zip(told, output.attentions, strict=True):
        assert np.allclose(unpacked(layer["maps"]), theirs[0].numpy(), atol=1e-3)  # float16


def test_a_long_prompt_is_cut_and_says_so(studio):
    events = studio.post("/api/attention", {"model": "tiny", "text": "the quick " * 40, "max_tokens": 9})
    assert (events[0][1]["num_tokens"], events[0][1]["is_cut"]) == (9, True)
    assert unpacked(events[1][1]["maps"]).shape == (4, 9, 9)


def test_a_large_model_gets_few_tokens():
    large = ModelConfig(
        vocab_size=32_000,
        hidden_size=4096,
        intermediate_size=11_008,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        head_dim=128,
    )
    assert 16 <= most_tokens(large) < 256


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_packed_is_unpacked(dtype):
    values = np.random.default_rng(1).standard_normal((2, 3, 5)).astype(dtype)
    assert np.array_equal(unpacked(json.loads(json.dumps(packed(values, dtype)))), values)


def test_the_session_lists_what_there_is(studio, place):
    told = studio.get("/api/session")
    assert told["open"] == {"view": "chat", "tokenizer": "tiny", "model": "tiny", "run": "first"}
    models = {model["name"]: model for model in told["models"]}
    assert models["second"]["steps"] == [10, 20]
    assert {"tiny", "second", "example"} <= set(models)
    assert "first" not in models  # it has no checkpoint
    assert {"tiny", "words.json", "second", "example"} <= {one["name"] for one in told["tokenizers"]}
    runs = [one["name"] for one in told["runs"]]
    assert [name for name in runs if name in {"first", "second", "example"}] == ["first", "second", "example"]
