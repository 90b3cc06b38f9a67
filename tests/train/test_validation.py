"""Validation: the same text every time, in bits for a byte of it, whatever the tokenizer."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from textmill import Tokenizer  # noqa: E402
from textmill.data.shards import ShardSet, write_shards  # noqa: E402
from textmill.model.config import ModelConfig  # noqa: E402
from textmill.model.llama import Llama  # noqa: E402
from textmill.text.documents import Document  # noqa: E402
from textmill.tokenizer.end_of_text import END_OF_TEXT, end_of_text  # noqa: E402
from textmill.train.validation import bits_per_byte, sample_held_out  # noqa: E402

SHORT = ["née à Köln", "two words", "日本語", "x", "naïve café, naïve café"]
LONG = ["the quick brown fox — " * 3, "мама мыла раму. " * 2]
# Merges of several bytes; a piece a character; bytes alone.
TOKENIZERS = {"gpt2": {"vocab_size": 290}, "char": {"vocab_size": 400, "pattern": "char"}, "bytes": {"vocab_size": 257}}


@pytest.fixture(params=TOKENIZERS, scope="module")
def tokenizer(request):
    return Tokenizer.train(
        iter(SHORT + LONG), special_tokens=(END_OF_TEXT,), **{"pattern": "gpt2", **TOKENIZERS[request.param]}
    )


@pytest.fixture(scope="module")
def model(tokenizer):
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        initializer_range=0.3,
    )
    return Llama(config).init_weights(1)


@pytest.fixture
def held_out(tokenizer, tmp_path):
    def make(**sources):
        for name, texts in sources.items():
            documents = (Document(text, name, str(number)) for number, text in enumerate(texts))
            end = end_of_text(tokenizer)
            write_shards(tmp_path / name, documents, tokenizer, source=name, document_end=end)
        return {name: ShardSet(tmp_path / name) for name in sources}

    return make


def score(model, samples, tokenizer, context=24):
    return bits_per_byte(model, samples, first_id=end_of_text(tokenizer), context=context, precision="f32")


def brute_force_bits(model, tokenizer, ids, context):
    """Token by token, each after what its window holds of the text before it."""
    text = [end_of_text(tokenizer), *ids]
    bits = 0.0
    for place in range(1, len(text)):
        begin = (place - 1) // context * context
        with torch.no_grad():
            logits = model(torch.tensor([text[begin:place]]))[0, -1].double()
        bits -= float(torch.log_softmax(logits, -1)[text[place]]) / math.log(2)
    return bits


def test_it_equals_bits_counted_token_by_token(model, tokenizer, held_out):
    samples = sample_held_out(held_out(short=SHORT, long=LONG), tokenizer, 1 << 20)
    found = score(model, samples, tokenizer)
    bits = {
        name: sum(brute_force_bits(model, tokenizer, tokenizer.encode(text), 24) for text in texts)
        for name, texts in {"short": SHORT, "long": LONG}.items()
    }
    num_bytes = {name: sum(len(t.encode()) for t in texts) for name, texts in {"short": SHORT, "long": LONG}.items()}
    assert found.of == pytest.approx(
        {
            "short": bits["short"] / num_bytes["short"],
            "long": bits["long"] / num_bytes["long"],
            "all": sum(bits.values()) / sum(num_bytes.values()),
        },
        rel=1e-6,
    )


def test_windows_that_hold_the_documents_give_the_same(model, tokenizer, held_out):
    samples = sample_held_out(held_out(short=SHORT), tokenizer, 1 << 20)
    longest = max(len(document) for document in samples["short"].documents)
    scores = [score(model, samples, tokenizer, longest + more).of["all"] for more in (0, 1, 40)]
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-6)


def test_the_same_text_in_the_same_order_every_time(model, tokenizer, held_out):
    shards = held_out(short=SHORT, long=LONG)
    before = (torch.get_rng_state(), [parameter.clone() for parameter in model.parameters()])
    one, other = (sample_held_out(shards, tokenizer, 100) for _ in range(2))
    for name, sample in one.items():
        assert sample.bytes_D == other[name].bytes_D
        assert all(np.array_equal(a, b) for a, b in zip(sample.documents, other[name].documents, strict=True))
    assert score(model, one, tokenizer) == score(model, other, tokenizer)
    assert torch.equal(before[0], torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(before[1], model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("allowed", [1, 7, 30, 60])
def test_a_part_of_a_text_counts_the_bytes_of_that_part(tokenizer, held_out, allowed):
    samples = sample_held_out(held_out(short=SHORT, long=LONG), tokenizer, allowed)
    for sample in samples.values():
        assert sample.documents
        assert sample.bytes_D == [len(tokenizer.decode_bytes(d.tolist())) for d in sample.documents]
    assert sum(len(d) for sample in samples.values() for d in sample.documents) <= max(allowed, len(samples))


def test_intervals_are_over_documents(model, tokenizer, held_out):
    """Of documents alike there is no doubt, of different ones some, and one alone says nothing of others."""
    samples = sample_held_out(held_out(alike=SHORT[:1] * 4, short=SHORT, one=LONG[:1]), tokenizer, 1 << 20)
    found = score(model, samples, tokenizer)
    assert set(found.intervals) == {"alike", "short", "all"}
    assert found.intervals["alike"] == pytest.approx((found.of["alike"],) * 2, rel=1e-9)
    for name in ("short", "all"):
        low, high = found.intervals[name]
        assert low < found.of[name] < high
    assert score(model, samples, tokenizer).intervals == found.intervals
