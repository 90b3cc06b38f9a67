"""Answers of a model in memory: those of the same model on the disk, and with the probabilities that torch gives."""

import ctypes
import gc
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

import textmill
from fakes.tiny_model import tokenizer, write_model
from textmill.checkpoint.huggingface import load_llama
from textmill.checkpoint.stored_model import open_model
from textmill.model.score import nats_of
from textmill.tune.rollouts import draw, engine_bytes, open_weights, seed_of

PROMPTS = [[5, 6, 7, 8], [9, 10], list(range(11, 40))]
SEEDS = [seed_of(1, 0, place) for place in range(3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    write_model(path)
    return path


@pytest.fixture(scope="module")
def llama(folder):
    return load_llama(folder)


def engine_of(folder, llama, **options):
    rules = open_model(folder).load_text_rules(tokenizer())
    weights = dict(llama.named_parameters())
    return open_weights(llama.config, weights, tokenizer(), rules, **{"context": 128, "threads": 1} | options)


def drawn(engine, prompts=PROMPTS, seeds=SEEDS, **options):
    return draw(engine, prompts, seeds, **{"num_answers": 3, "max_tokens": 12, "temperature": 1.0} | options)


def test_a_model_in_memory_answers_as_it_does_from_the_disk(folder, llama):
    found = drawn(engine_of(folder, llama))
    loaded = textmill.load(folder, weights="f32", kv="f32", threads=1)
    for prompt, seed, group in zip(PROMPTS, SEEDS, found, strict=True):
        wanted = loaded.generate(prompt, max_tokens=12, temperature=1.0, seed=seed, n=3)
        assert [one.text for one in group] == [one.text for one in wanted]
        assert [one.ids[: len(other.ids)] for one, other in zip(group, wanted, strict=True)] == [
            tuple(one.ids) for one in wanted
        ]


def test_answers_do_not_depend_on_the_batch_or_the_threads(folder, llama):
    together = drawn(engine_of(folder, llama))
    alone = [drawn(engine_of(folder, llama, threads=2), [p], [s])[0] for p, s in zip(PROMPTS, SEEDS, strict=True)]
    assert together == alone


def test_the_weights_are_those_of_the_moment_and_left_alone(folder):
    llama = load_llama(folder)
    first = drawn(engine_of(folder, llama))
    with torch.no_grad():
        for parameter in llama.parameters():
            parameter.mul_(1.5)
    before = [parameter.clone() for parameter in llama.parameters()]
    assert drawn(engine_of(folder, llama)) != first
    assert all(torch.equal(one, other) for one, other in zip(before, llama.parameters(), strict=True))


def test_the_token_that_ends_an_answer_is_one_of_its_tokens(folder):
    llama = load_llama(folder)
    end = tokenizer().special_tokens["<|im_end|>"]
    with torch.no_grad():
        llama.lm_head.weight.zero_()
        llama.model.norm.weight.zero_()  # all tokens alike, so that ends come soon enough
    rollouts = [one for group in drawn(engine_of(folder, llama), num_answers=64, max_tokens=60) for one in group]
    ended = [one for one in rollouts if one.has_ended]
    assert ended
    assert len(ended) < len(rollouts)
    assert all(one.ids[-1] == end and end not in one.ids[:-1] for one in ended)
    assert all(len(one.ids) == 60 and end not in one.ids for one in rollouts if not one.has_ended)


def test_the_engine_and_torch_agree_on_how_probable_an_answer_is(folder, llama):
    engine = engine_of(folder, llama)
    prompt = PROMPTS[0]
    completion = engine.generate(prompt, max_tokens=12, temperature=1.0, seed=3, logprobs=True)
    ids = torch.tensor([[*prompt, *completion.ids]])
    with torch.no_grad():
        logits = llama(ids[:, :-1])[0, :, : tokenizer().vocab_size]  # the rows that pad the table are never drawn
        nats = nats_of(logits, ids[0, 1:])[len(prompt) - 1 :]
    np.testing.assert_allclose(completion.logprobs, -nats, atol=2e-5)  # f32 in another order


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_engine_takes_the_memory_that_is_reckoned(tmp_path):
    """Weights of 90 MB, and keys and values of 8 texts of 512 tokens, all of which are written."""
    sizes = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 5, "max_position_embeddings": 512}
    config = write_model(tmp_path / "model", **sizes, num_attention_heads=8, num_key_value_heads=8, head_dim=64)
    llama = load_llama(tmp_path / "model")
    drawn(engine_of(tmp_path / "model", llama, context=512), [[5]], [1], num_answers=1)  # code that is read in
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what tests before this one gave back would be taken again, and not be seen
    before = resident_bytes()
    engine = engine_of(tmp_path / "model", llama, context=512)
    drawn(engine, [[number] * 500 for number in range(5, 13)], list(range(8)), num_answers=1)
    reckoned = engine_bytes(config, context=512, num_answers=8, device="cpu")
    assert reckoned == 4 * config.num_parameters + 8 * 512 * 5 * 2 * 8 * 64 * 4
    # The scratch of a pass is beside it: at most 512 tokens of some widths.
    assert 0.9 * reckoned < resident_bytes() - before < 1.1 * reckoned + (16 << 20)


def resident_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def test_seeds_of_steps_and_prompts_differ():
    assert len({seed_of(1, step, place) for step in range(50) for place in range(50)}) == 2500
    assert seed_of(1, 0, 0) != seed_of(2, 0, 0)
