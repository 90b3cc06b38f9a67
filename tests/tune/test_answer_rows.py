"""Answers in packed rows have the probabilities that they have alone, and gradients that sum up to theirs."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from textmill.tune.answer_log_p import answer_tokens, by_answer
from textmill.tune.answer_rows import NOBODY, AnsweredPrompt, pack
from tune.tiny_llama import tiny_llama


def random_groups(seed=0, groups=6, size=2):
    rng = np.random.default_rng(seed)

    def ids(least, most):
        return tuple(rng.integers(0, 40, rng.integers(least, most + 1)).tolist())

    return [[AnsweredPrompt(ids(1, 6), ids(1, 5)) for _ in range(size)] for _ in range(groups)]


@pytest.fixture(scope="module")
def llama():
    return tiny_llama()


def alone(model, text, temperature=1.0):
    """Log-probability of an answer's tokens with nothing else about."""
    ids = torch.tensor([[*text.prompt, *text.answer]])
    logits = model(ids[:, :-1])[0, len(text.prompt) - 1 :] / temperature
    return logits.log_softmax(-1).gather(1, torch.tensor(text.answer)[:, None]).squeeze(1)


def test_every_text_is_there_once_and_groups_stay_together():
    groups = random_groups()
    batch = pack(groups, context=24)
    assert batch.inputs.shape[1] <= 24
    texts = [text for group in groups for text in group]
    for number, text in enumerate(texts):
        rows, places = np.nonzero(batch.owners == number)
        assert len(set(rows)) == 1
        assert batch.targets[rows, places].tolist() == list(text.answer)
        row, start = rows[0], places[0] - len(text.prompt) + 1
        span = slice(start, start + text.num_inputs)
        assert batch.inputs[row, span].tolist() == [*text.prompt, *text.answer][:-1]
        assert batch.positions[row, span].tolist() == list(range(text.num_inputs))
        assert len(set(batch.segments[row, span])) == 1
    assert ((batch.owners == NOBODY) == ~batch.loss_mask).all()
    rows_of = [np.nonzero(batch.owners == number)[0][0] for number in range(len(texts))]
    assert rows_of[::2] == rows_of[1::2]
    assert (np.diff(batch.segments, axis=1) >= 0).all()


def test_rows_are_filled():
    groups = [[AnsweredPrompt((1,), (2,) * n)] for n in (5, 3, 4, 2, 6)]
    assert pack(groups, context=10).inputs.shape == (2, 10)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_packed_answers_are_as_probable_as_alone(llama, temperature):
    groups = random_groups()
    texts = [text for group in groups for text in group]
    weights = torch.linspace(-1, 1, len(texts), dtype=torch.float64)
    sums = []
    gradients = []
    for way in ("packed", "alone"):
        llama.zero_grad()
        if way == "packed":
            batch = pack(groups, context=24)
            parts = [
                answer_tokens(llama, batch, slice(row, row + 2), dtype=torch.float32, temperature=temperature)
                for row in range(0, len(batch.inputs), 2)
            ]
            found = sum(by_answer(part.log_p, part.owners, len(texts)) for part in parts)
        else:
            found = torch.stack([alone(llama, text, temperature).double().sum() for text in texts])
        (found * weights).sum().backward()
        sums.append(found.detach())
        gradients.append([parameter.grad.clone() for parameter in llama.parameters()])
    torch.testing.assert_close(*sums, rtol=1e-5, atol=1e-5)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5)  # f32, summed in another order
