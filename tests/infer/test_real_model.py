"""The real SmolLM2-135M-Instruct, beside llama.cpp on the same file and transformers on the same values.

``TEXTMILL_GREEDY_TOKENS`` says how far greedy texts are compared; 256 is the full length.
"""

import os

import numpy as np
import pytest

import textmill
from checkpoint import llama_cpp
from fakes.tiny_adapter import write_random_adapter
from textmill.checkpoint.convert import convert

pytestmark = [pytest.mark.real_model, pytest.mark.slow, pytest.mark.timeout(900)]

PROMPTS = [
    "The capital of France is",
    "def fibonacci(n):\n    ",
    "Once upon a time, in a small village by the sea, there lived an old fisherman who had never caught a fish. " * 3,
]
NUM_TOKENS = int(os.environ.get("TEXTMILL_GREEDY_TOKENS", "40"))


@pytest.fixture(scope="module")
def exact(real_model):
    """Everything in f32: the file's values as they are."""
    return textmill.load(real_model, weights="f32", kv="f32")


@pytest.fixture(scope="module")
def wide(real_model, tmp_path_factory):
    """A GGUF of the same values in F32, where nobody rounds inputs to eight bits."""
    path = tmp_path_factory.mktemp("wide") / "smollm2-f32.gguf"
    convert(real_model, path, type="f32")
    return path


@pytest.fixture(scope="module")
def folder(real_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("hf") / "smollm2"
    convert(real_model, path, type="f32")
    return path


@pytest.fixture(scope="module")
def peer(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval()


def chat_ids(lm):
    return lm.chat_ids([{"role": "user", "content": "What is the capital of France?"}])


def prompts(lm):
    return [lm.tokenizer.encode(text) for text in PROMPTS] + [chat_ids(lm)]


def steps_of(lm, ids, num_tokens=NUM_TOKENS):
    """Greedy tokens, each with the logits of the best two."""
    answer = lm.generate(ids, max_tokens=num_tokens, ignore_eos=True, logprobs=2)
    return [
        (token_id, *sorted(top.values(), reverse=True)[:2])
        for token_id, top in zip(answer.ids, answer.top_logprobs, strict=True)
    ]


def check_same_text(ours, theirs, tolerance):
    """The same tokens to the end, or to a place where the best two are closer than logits agree."""
    for place, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        if mine[0] != other[0]:
            assert mine[1] - mine[2] <= 2 * tolerance, f"token {place}: {mine} and {other}"
            assert other[1] - other[2] <= 2 * tolerance, f"token {place}: {mine} and {other}"
            return place
    return len(ours)


@pytest.mark.peer
class TestTransformers:
    """On the values of the file in f32, with keys and values in f32 on both sides."""

    def test_logits(self, exact, peer):
        import torch

        for ids in prompts(exact):
            with torch.no_grad():
                theirs = peer(torch.tensor([ids])).logits[0].numpy()
            # Logits reach 38; sums of up to 1,536 products in another order, through 30 layers.
            assert np.abs(exact.logits(ids) - theirs).max() <= 1e-3

    def test_greedy_text(self, exact, peer):
        import torch

        for ids in prompts(exact)[:2]:
            with torch.no_grad():
                made = peer.generate(
                    torch.tensor([ids]),
                    attention_mask=torch.ones(1, len(ids)),
                    max_new_tokens=NUM_TOKENS,
                    min_new_tokens=NUM_TOKENS,
                    do_sample=False,
                    pad_token_id=0,
                    eos_token_id=None,
                    output_logits=True,
                    return_dict_in_generate=True,
                )
            best = [torch.topk(row[0], 2).values.tolist() for row in made.logits]
            tokens = made.sequences[0, len(ids) :].tolist()
            theirs = [(token_id, *two) for token_id, two in zip(tokens, best, strict=True)]
            check_same_text(steps_of(exact, ids), theirs, 1e-3)

    def test_a_folder_and_its_file_are_the_same_model(self, exact, folder):
        ids = chat_ids(exact)
        assert np.array_equal(textmill.load(folder, kv="f32").logits(ids), exact.logits(ids))


@pytest.mark.peer
class TestLlamaCpp:
    def test_logits_where_both_compute_in_f32(self, exact, wide):
        for ids in prompts(exact):
            theirs = np.array(llama_cpp.ask(wide, ids=ids)["logits"])
            assert np.abs(exact.logits(ids)[-1] - theirs).max() <= 1e-3

    def test_logits_of_the_file_as_it_is(self, exact, real_model):
        """Both round the inputs of products to eight bits, each 32 of them by their largest; no two ways are the same.

        What that takes from the exact logits of all prompts together is as much here as there (of one prompt it may be
        three times as much, in either); between the two lie independent errors.
        """
        lm = textmill.load(real_model, kv="f32")
        lost_here, lost_there, between = [], [], []
        for ids in prompts(exact):
            theirs = np.array(llama_cpp.ask(real_model, ids=ids)["logits"])
            ours, right = lm.logits(ids)[-1], exact.logits(ids)[-1]
            lost_here.append(rms(ours - right))
            lost_there.append(rms(theirs - right))
            between.append(rms(ours - theirs))
        here, there, apart = map(rms, (lost_here, lost_there, between))
        assert here <= 2 * there
        assert apart <= 1.5 * np.hypot(here, there)

    def test_greedy_text(self, exact, wide):
        ids = exact.tokenizer.encode(PROMPTS[0])
        theirs = llama_cpp.ask(wide, ids=ids, greedy=NUM_TOKENS)["steps"]
        check_same_text(steps_of(exact, ids), theirs, 1e-3)


def rms(values):
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


class TestTypes:
    def test_what_rounding_takes(self, real_model, exact):
        """Kullback-Leibler divergence from the exact distributions, nats a token; bounds: twice what was found."""
        ids = exact.tokenizer.encode(PROMPTS[2])
        right = log_softmax(exact.logits(ids))
        for options, bound in [
            ({"weights": "bf16", "kv": "bf16"}, 0.0005),
            ({}, 0.0045),
            ({"weights": "int8"}, 0.0045),
            ({"weights": "int4"}, 0.004),
            ({"weights": "int4", "kv": "int8"}, 0.0055),
        ]:
            found = log_softmax(textmill.load(real_model, **options).logits(ids))
            divergence = (np.exp(right) * (right - found)).sum(axis=1).mean()
            assert divergence <= bound, options


def log_softmax(logits):
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


class TestTheSameAnswer:
    def test_whatever_stands_beside_it(self, real_model):
        lm = textmill.load(real_model, threads=2)
        texts = [f"{text}{number}" for number in range(4) for text in PROMPTS]
        options = {"max_tokens": 24, "temperature": 0.8, "seed": 5, "logprobs": 2, "ignore_eos": True}
        together = lm.generate(texts, **options)
        other = textmill.load(real_model, threads=1)
        for text, answer in list(zip(texts, together, strict=True))[::5]:
            assert lm.generate(text, **options) == answer
            assert other.generate(text, **options, speculate=0) == answer

    def test_guesses_change_nothing(self, real_model):
        lm = textmill.load(real_model)
        text = "one two three four one two three four one two"
        plain = lm.generate(text, max_tokens=64, speculate=0, logprobs=1)
        before = lm.batcher.statistics().num_accepted_tokens
        assert lm.generate(text, max_tokens=64, speculate=6, logprobs=1) == plain
        assert lm.batcher.statistics().num_accepted_tokens > before


def test_adapters_that_share_its_weights_say_what_merged_models_say(real_model, exact, tmp_path):
    """Random factors, about as large against the weights as those that are learned."""
    changes = {"one": {"seed": 1}, "two": {"seed": 2, "rank": 16, "matrices": ("q_proj", "v_proj", "down_proj")}}
    folders = {
        name: write_random_adapter(tmp_path / name, real_model, deviation=0.06, is_marked=False, **options)
        for name, options in changes.items()
    }
    lm = textmill.load(real_model, weights="f32", kv="f32", adapters=folders)
    for name, folder in folders.items():
        alone = textmill.load(folder, weights="f32", kv="f32")
        changed = False
        for ids in prompts(lm)[:2]:
            ours = steps_of(lm.with_adapter(name), ids)
            check_same_text(ours, steps_of(alone, ids), tolerance=0.01)
            changed |= [step[0] for step in ours] != [step[0] for step in steps_of(exact, ids)]
        assert changed
