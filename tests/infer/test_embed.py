"""Texts as vectors: the mean of the last layer's states, as the twin and transformers have it, however texts meet."""

import numpy as np
import pytest

import textmill
from fakes import tiny_model
from infer.native_models import random_tensors, small_config, stored_model
from textmill.base.errors import ConfigError, DataError
from textmill.checkpoint.text_rules import TextRules
from textmill.infer import reference
from textmill.infer.batcher import Batcher
from textmill.infer.engine import LanguageModel
from textmill.infer.request import Request
from textmill.infer.runners.native import open_runner

RNG = np.random.default_rng(4)
TEXTS = [RNG.integers(0, 60, size).tolist() for size in (1, 5, 700, 16, 33, 5, 64)]


def model(tensors=None, *, config=None, context=1024, **limits):
    config = config or small_config()
    stored = stored_model(config, random_tensors(config) if tensors is None else tensors)
    runner = open_runner(stored, kv="f32", context=context, threads=limits.pop("threads", 1), kv_memory=1 << 24)
    rules = TextRules(bos_token_id=None, prefix_ids=(), stop_ids=frozenset())
    return LanguageModel(config, tiny_model.tokenizer(), rules, Batcher(runner, **limits), context=context)


@pytest.mark.parametrize(
    "changes", [{}, {"model_type": "qwen3", "qk_norm": True}, {"tie_word_embeddings": True}, {"hidden_size": 40}]
)
def test_vectors_are_the_twins(changes):
    config = small_config(**changes)
    tensors = random_tensors(config)
    vectors = model(tensors, config=config).embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), config.hidden_size)
    exact = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    for vector, ids in zip(vectors, TEXTS, strict=True):
        np.testing.assert_allclose(vector, reference.states_of(config, exact, ids).mean(axis=0), atol=2e-4)


def test_each_is_the_same_as_alone():
    """In small steps, with few blocks, beside texts that are made, and on two threads."""
    alone = model()
    expected = np.concatenate([alone.embed([text]) for text in TEXTS])
    np.testing.assert_array_equal(alone.embed(TEXTS), expected)
    for limits in ({"tokens_per_step": 7}, {"max_running": 2, "tokens_per_step": 100}, {"threads": 2}):
        crowd = model(**limits)
        others = crowd.answers([1, 2, 3], Request.of(max_tokens=40, ignore_eos=True))
        for other in others:
            crowd.batcher.submit(other)
        np.testing.assert_array_equal(crowd.embed(TEXTS), expected)
        crowd.batcher.run([])
        (drawn,) = crowd.generate([[1, 2, 3]], max_tokens=40, ignore_eos=True)
        while not others[0].is_finished:
            crowd.batcher.step()
        assert others[0].ids[3:] == drawn.ids == alone.generate([1, 2, 3], max_tokens=40, ignore_eos=True).ids
        crowd.batcher.check()
        assert crowd.batcher.statistics().num_blocks_in_use == 0


def test_after_a_text_that_is_cached_it_is_the_same():
    lm = model()
    lm.generate([TEXTS[2]], max_tokens=2)
    np.testing.assert_array_equal(lm.embed([TEXTS[2]]), model().embed([TEXTS[2]]))


def test_vectors_are_those_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    import torch

    tiny_model.write_model(tmp_path)
    lm = textmill.load(tmp_path, kv="f32")
    theirs = transformers.LlamaModel.from_pretrained(tmp_path, dtype=torch.float32)
    texts = ["the quick brown fox", "wizards", "box " * 60]
    for vector, text in zip(lm.embed(texts), texts, strict=True):
        with torch.no_grad():
            states = theirs(torch.tensor([lm.prompt_ids(text)])).last_hidden_state
        np.testing.assert_allclose(vector, states[0].mean(0).numpy(), atol=1e-4)


def test_the_torch_runner_gives_the_same(tmp_path):
    pytest.importorskip("torch")
    from textmill.checkpoint.sources import resolve_model
    from textmill.checkpoint.stored_model import open_model
    from textmill.infer.runners import torch as torch_runner

    tiny_model.write_model(tmp_path)
    lm = textmill.load(tmp_path, kv="f32")
    runner = torch_runner.open_runner(open_model(resolve_model(tmp_path)), device="cpu", kv="f32", context=64)
    other = LanguageModel(lm.config, lm.tokenizer, lm.rules, Batcher(runner), context=64)
    texts = ["the quick brown fox", "wizards"]
    np.testing.assert_allclose(other.embed(texts), lm.embed(texts), atol=1e-4)


def test_what_is_no_list_of_texts_is_refused():
    lm = model()
    assert lm.embed([]).shape == (0, 64)
    for wrong in ("a text", [1, 2, 3]):
        with pytest.raises(ConfigError, match="put it in a list"):
            lm.embed(wrong)
    with pytest.raises(ConfigError, match="empty"):
        lm.embed([[]])
    with pytest.raises(ConfigError, match="1,100 tokens, and the context is 1,024"):
        lm.embed([[1] * 1100])


def test_states_that_are_not_finite_are_told():
    from infer.native_models import exploding_tensors

    config = small_config()
    lm = model(exploding_tensors(config, 7))
    assert np.isfinite(lm.embed([[1, 2, 3]])).all()
    with pytest.raises(DataError, match="not finite"):
        lm.embed([[1, 7, 3]])
