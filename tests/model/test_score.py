import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from textmill.base.errors import ConfigError
from textmill.model.llama import Llama
from textmill.model.score import nats_of, score_documents

FIRST = 100


@pytest.fixture
def model(small_config):
    return Llama(small_config()).init_weights(3, residual="scaled")


def make_documents(*lengths):
    rng = np.random.default_rng(5)
    return [rng.integers(0, 100, size=length).tolist() for length in lengths]


def brute_force(model, ids, context, stride):
    """One token at a time, in f64: the window that scores it is the first on the grid of strides that reaches it."""
    text = [FIRST, *ids]
    nats = 0.0
    for target in range(1, len(text)):
        start = 0
        while start + context < target:
            start += stride
        with torch.no_grad():
            logits = model(torch.tensor([text[start:target]]))[0, -1].double()
        nats -= float(torch.log_softmax(logits, dim=-1)[text[target]])
    return nats


@pytest.mark.parametrize(("context", "stride"), [(16, 8), (16, 16), (16, 1), (1, 1), (7, 3), (64, 32)])
def test_equals_a_loop_over_tokens(model, context, stride):
    documents = make_documents(0, 1, 5, 16, 17, 40)
    scored = score_documents(model, documents, first_id=FIRST, context=context, stride=stride)
    expected = [brute_force(model, ids, context, stride) for ids in documents]
    assert scored.dtype == np.float64
    np.testing.assert_allclose(scored, expected, rtol=1e-6)


@given(st.lists(st.integers(0, 30), max_size=6), st.integers(1, 12), st.data())
@settings(deadline=None, max_examples=50)
def test_each_token_is_scored_once_with_enough_before_it(lengths, context, data):
    """A model that is sure of nothing: every token costs log V, and what it saw is written down."""
    stride = data.draw(st.integers(1, context))
    seen = []

    def uniform(ids_BT):
        assert ids_BT.shape[1] <= context
        seen.append(ids_BT.shape)
        return torch.zeros(*ids_BT.shape, 101)

    scored = score_documents(uniform, make_documents(*lengths), first_id=FIRST, context=context, stride=stride)
    np.testing.assert_allclose(scored, np.array(lengths, dtype=float) * np.log(101), rtol=1e-6)


def test_context_that_is_promised_is_there():
    """A model whose logits say how many tokens it saw: each target must have seen context - stride + 1 or its all."""
    context, stride, length = 10, 4, 33
    depth_of = []

    def depth(ids_BT):
        positions = torch.arange(1, ids_BT.shape[1] + 1).expand(ids_BT.shape)
        depth_of.append(positions)
        return -positions[..., None].float() * torch.nn.functional.one_hot(torch.zeros_like(ids_BT), 101)

    documents = [[0] * length]
    nats = score_documents(depth, documents, first_id=FIRST, context=context, stride=stride)[0]
    # Target i (from 1) has seen i tokens at most, and after the first window 7 to 10 in turn.
    expected_depths = [*range(1, 11), *([7, 8, 9, 10] * 6)][:length]
    expected = sum(float(np.log(np.exp(-d) + 100) + d) for d in expected_depths)
    assert nats == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_batch_size_changes_only_rounding(model, batch_size):
    documents = make_documents(3, 50, 17, 0, 9, 33)
    alone = score_documents(model, documents, first_id=FIRST, context=16, batch_size=4)
    np.testing.assert_allclose(
        score_documents(model, documents, first_id=FIRST, context=16, batch_size=batch_size), alone, rtol=1e-6
    )


def test_a_function_of_logits_will_do(model):
    documents = make_documents(20, 30)
    np.testing.assert_allclose(
        score_documents(lambda ids: model(ids), documents, first_id=FIRST, context=16),
        score_documents(model, documents, first_id=FIRST, context=16),
        rtol=1e-6,
    )


def test_nats_are_taken_in_f32():
    logits = torch.randn(5, 11, generator=torch.Generator().manual_seed(1)).bfloat16()
    nats = nats_of(logits, torch.arange(5))
    assert nats.dtype == torch.float32
    torch.testing.assert_close(nats, -torch.log_softmax(logits.float(), -1).diagonal()[:5])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": 17}, "1 to the context"),
        ({"stride": 0}, "stride"),
        ({"context": 0}, "context"),
        ({"batch_size": 0}, "batch"),
    ],
)
def test_refuses_windows_that_skip_tokens(model, changes, message):
    with pytest.raises(ConfigError, match=message):
        score_documents(model, [[1]], **({"first_id": FIRST, "context": 16} | changes))
