"""Adapters that share a model's weights: what the engine computes with them, and models with and without one."""

import json
import threading

import numpy as np
import pytest

import textmill
from fakes.tiny_adapter import MATRICES, random_factors, write_random_adapter
from fakes.tiny_model import write_model
from infer.native_models import logits_of, random_tensors, runner_of, small_config
from textmill.base import safetensors, units
from textmill.base.errors import ConfigError, DataError
from textmill.checkpoint.adapter_files import merged
from textmill.checkpoint.convert import convert
from textmill.infer import reference
from textmill.infer.constrain import Grammar
from textmill.infer.engine import planned_memory
from textmill.infer.runners.native_adapters import Adapter

IDS = np.random.default_rng(1).integers(0, 60, 50).tolist()
PROMPTS = ["the fox", "seven wizards box", "lazy"]
NAMES = (None, "poet", "clerk")


def adapter_of(tensors, *, scale=0.5, **options):
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    return Adapter(folder=None, scale=scale, factors=random_factors(shapes, **options))


@pytest.mark.parametrize("rank", [1, 5, 40])
@pytest.mark.parametrize("matrices", [MATRICES, *((name,) for name in MATRICES)])
def test_logits_are_those_of_the_twin_and_of_the_merged_model(rank, matrices):
    config = small_config(qk_norm=True, model_type="qwen3")
    tensors = random_tensors(config)
    adapter = adapter_of(tensors, rank=rank, matrices=matrices, deviation=0.1)
    found = logits_of(runner_of(config, tensors, threads=2, adapters=[adapter]), IDS, adapter=0)
    exact = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    factors = {name: (pair.a, pair.b) for name, pair in adapter.factors.items()}
    twin = reference.logits_of(config, reference.with_adapter(exact, factors, adapter.scale), IDS)
    changed = {name: merged(tensors[name], pair, adapter.scale) for name, pair in adapter.factors.items()}
    whole = logits_of(runner_of(config, tensors | changed), IDS)
    # Rounding in f32, of logits up to about 10: the worst found was 8e-5.
    assert np.abs(found - twin).max() < 5e-4
    assert np.abs(found - whole).max() < 5e-4
    assert np.abs(found - logits_of(runner_of(config, tensors), IDS)).max() > 1e-2


def test_what_it_takes_is_what_was_reckoned():
    tensors = random_tensors(small_config())
    adapters = [adapter_of(tensors, rank=3), adapter_of(tensors, rank=20, matrices=MATRICES[2:4])]
    core = runner_of(small_config(), tensors, adapters=adapters)._core
    assert [core.adapter_bytes(number) for number in (0, 1)] == [adapter.num_bytes for adapter in adapters]
    with pytest.raises(ValueError, match="there is no adapter 2"):
        core.adapter_bytes(2)


def test_factors_that_are_none():
    core = runner_of(small_config())._core
    number = core.add_adapter()
    a, b = np.ones((2, 64), np.float32), np.ones((64, 2), np.float32)
    for arguments, message in [
        ((number + 1, 0, "self_attn.q_proj", a, b, 1.0), "there is no adapter 1"),
        ((number, 2, "self_attn.q_proj", a, b, 1.0), "no matrix self_attn.q_proj of a layer 2"),
        ((number, 0, "lm_head", a, b, 1.0), "no matrix lm_head"),
        ((number, 0, "self_attn.q_proj", a, b[:, :1].copy(), 1.0), "ranks 2 and 1"),
        ((number, 0, "self_attn.k_proj", a, b, 1.0), "none of rank 2 for a matrix of 32 x 64"),
        ((number, 0, "self_attn.q_proj", a, b * np.inf, 1.0), "not finite"),
        ((number, 0, "self_attn.q_proj", a, b, 1e39), "not finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            core.set_factors(*arguments)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("adapters")
    write_model(root / "base")
    write_random_adapter(root / "poet", root / "base")
    write_random_adapter(root / "clerk", root / "base", rank=7, seed=2, matrices=("q_proj", "down_proj"))
    return {name: root / name for name in ("base", "poet", "clerk")}


@pytest.fixture(scope="module")
def lm(folders):
    return textmill.load(folders["base"], kv="f32", threads=2, adapters={n: folders[n] for n in NAMES[1:]})


def test_greedy_answers_are_those_of_merged_models(folders, lm):
    texts = set()
    for name in NAMES:
        alone = textmill.load(folders[name or "base"], kv="f32", threads=1)
        with_it = lm.with_adapter(name)
        assert (with_it.adapter, with_it.adapters) == (name, ("poet", "clerk"))
        for prompt in PROMPTS:
            assert with_it.generate(prompt, max_tokens=40).ids == alone.generate(prompt, max_tokens=40).ids
        texts.add(with_it.generate(PROMPTS[0], max_tokens=40).text)
    assert len(texts) == 3


def test_all_together_are_each_as_alone(folders, lm):
    """Threads ask for all of them at once, from a cache that knows the prompts already and from a new one."""
    options = {"max_tokens": 30, "logprobs": 2, "temperature": 0.7, "seed": 5}
    grammar = {"grammar": Grammar.regex("[a-z ]{20}")}
    expected = {
        (name, prompt): lm.with_adapter(name).generate(prompt, **options, **also)
        for name in NAMES
        for prompt, also in zip(PROMPTS, ({}, {}, grammar), strict=True)
    }
    fresh = textmill.load(folders["base"], kv="f32", threads=1, adapters={n: folders[n] for n in NAMES[1:]})
    for model in (lm, fresh):
        found = {}

        def ask(name, prompt, model=model, found=found):
            also = grammar if prompt == PROMPTS[2] else {}
            found[name, prompt] = model.with_adapter(name).generate(prompt, **options, **also)

        threads = [threading.Thread(target=ask, args=key) for key in expected]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == expected
        model.batcher.check()


def test_a_prompt_that_another_has_read_is_read_again(lm):
    """Keys and values differ: what is cached for one is nothing for another."""
    prompt = lm.prompt_ids("the quick brown fox jumps over the lazy dog. " * 4)
    before = lm.batcher.statistics().num_cached_tokens
    for name in NAMES:
        lm.with_adapter(name).generate(prompt, max_tokens=1)
    assert lm.batcher.statistics().num_cached_tokens == before
    lm.with_adapter("poet").generate(prompt, max_tokens=1)
    assert lm.batcher.statistics().num_cached_tokens > before


def test_logits_vectors_and_chats(folders, lm):
    ids, messages = lm.prompt_ids("the fox"), [{"role": "user", "content": "the fox"}]
    for name in NAMES:
        alone, with_it = textmill.load(folders[name or "base"], kv="f32"), lm.with_adapter(name)
        np.testing.assert_allclose(with_it.logits(ids), alone.logits(ids), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(with_it.embed([ids]), alone.embed([ids]), rtol=1e-4, atol=1e-4)
        assert with_it.chat(messages, max_tokens=20).ids == alone.chat(messages, max_tokens=20).ids
        assert [d.text for d in with_it.stream("the", max_tokens=9)] == [
            d.text for d in alone.stream("the", max_tokens=9)
        ]


def test_a_name_that_is_none(lm):
    with pytest.raises(ConfigError, match='no adapter "poem".*loaded with "poet", "clerk"'):
        lm.with_adapter("poem")


def test_memory(folders):
    options = {"free": 1 << 30, "kv_memory": 1 << 20}
    without = planned_memory(folders["base"], **options)
    adapted = planned_memory(folders["base"], adapters={"poet": folders["poet"]}, **options)
    # Two layers: A of q, k, v, o, gate and up over 32 inputs and of down over 64, B to 32 + 16 + 16 + 32 + 64 + 64
    # + 32 outputs.
    assert adapted.weight_bytes - without.weight_bytes == 2 * 4 * (16 * (6 * 32 + 64) + 4 * (4 * 32 + 2 * 64))
    assert adapted.cache_bytes == without.cache_bytes
    with pytest.raises(ConfigError, match=f"{units.num_bytes(without.weight_bytes)} are free"):
        planned_memory(folders["base"], free=without.weight_bytes, adapters={"poet": folders["poet"]})


def test_a_base_in_blocks(folders, tmp_path):
    """The base is rounded and the adapter is not; it says of which weights it is, and these cannot be compared."""
    convert(folders["base"], tmp_path / "base.gguf", type="q8_0")
    lm = textmill.load(tmp_path / "base.gguf", adapters={"poet": folders["poet"]})
    ids = lm.prompt_ids("the fox")
    exact = textmill.load(folders["poet"], kv="f32").logits(ids)
    off = np.abs(lm.with_adapter("poet").logits(ids) - exact).max()
    assert 0 < off < 0.1 * np.abs(exact).max()
    assert np.abs(lm.logits(ids) - exact).max() > 3 * off


def test_an_adapter_for_another_model(folders, tmp_path):
    write_model(tmp_path / "wide", hidden_size=64, num_attention_heads=8)
    with pytest.raises(DataError, match=r"another model than .*wide: it changes model.layers.0.mlp.down_proj"):
        textmill.load(tmp_path / "wide", adapters={"poet": folders["poet"]})
    write_model(tmp_path / "other", rms_norm_eps=1e-5)
    convert(tmp_path / "other", tmp_path / "rounded", type="f16")
    with pytest.raises(DataError, match="sizes are the same, and weights are not"):
        textmill.load(tmp_path / "rounded", adapters={"poet": folders["poet"]})


def test_what_is_merged_only(folders, tmp_path):
    write_model(tmp_path / "untied", tie_word_embeddings=False)
    write_random_adapter(tmp_path / "head", tmp_path / "untied", matrices=("lm_head",))
    with pytest.raises(DataError, match="changes lm_head.weight, which texts of one batch"):
        textmill.load(tmp_path / "untied", adapters={"head": tmp_path / "head"})
    unknown = write_random_adapter(tmp_path / "unknown", folders["base"])
    factors = safetensors.load(unknown / "adapter_model.safetensors")
    renamed = {name.replace("layers.0", "layers.zero"): np.array(factor) for name, factor in factors.items()}
    safetensors.save(unknown / "adapter_model.safetensors", renamed)
    with pytest.raises(DataError, match=r"changes model.layers.zero.mlp.down_proj.weight, .*has no such matrix"):
        textmill.load(folders["base"], adapters={"unknown": unknown})
    dora = write_random_adapter(tmp_path / "dora", folders["base"])
    told = json.loads((dora / "adapter_config.json").read_text())
    (dora / "adapter_config.json").write_text(json.dumps(told | {"use_dora": True}))
    with pytest.raises(DataError, match="use_dora is True, .*in the place of a model"):
        textmill.load(folders["base"], adapters={"dora": dora})
    with pytest.raises(DataError, match="is no adapter in PEFT's format"):
        textmill.load(folders["base"], adapters={"base": folders["base"]})
    with pytest.raises(ConfigError, match='the device is "cuda"'):
        textmill.load(folders["base"], "cuda", adapters={"poet": folders["poet"]})


def test_factors_that_are_not_finite(folders, tmp_path):
    folder = write_random_adapter(tmp_path / "bad", folders["base"], deviation=1e37, alpha=1e3)
    with pytest.raises(DataError, match=r"bad: the factors of model.layers.0.mlp.down_proj.weight: .*not finite"):
        textmill.load(folders["base"], adapters={"bad": folder})
