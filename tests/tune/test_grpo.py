"""GRPO on a model: loss and gradient are those of a loop over answers, one alone after another."""

import math

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from textmill.tune.answer_log_p import answer_tokens
from textmill.tune.answer_rows import AnsweredPrompt, pack
from textmill.tune.graded_answers import GradedAnswer
from textmill.tune.grpo import GradedBatch, GrpoSettings, answers_loss
from textmill.tune.grpo_objective import what_is_told
from tune.tiny_llama import tiny_llama

SETTINGS = {"beta": 0.2, "clip_low": 0.1, "clip_high": 0.2, "unbiased_kl": False, "max_tokens": 9}
TEMPERATURE = 0.8


def texts():
    rng = np.random.default_rng(3)

    def ids(least, most):
        return tuple(rng.integers(0, 40, rng.integers(least, most + 1)).tolist())

    return [AnsweredPrompt(ids(1, 6), ids(1, 9)) for _ in range(8)]


def log_p(model, text):
    ids = torch.tensor([[*text.prompt, *text.answer]])
    logits = model(ids[:, :-1])[0, len(text.prompt) - 1 :] / TEMPERATURE
    return logits.log_softmax(-1).gather(1, torch.tensor(text.answer)[:, None]).squeeze(1)


def batch_of(answers, advantages, old, reference):
    rows = pack([[text] for text in answers], context=24)

    def laid_out(model):
        with torch.no_grad():
            tokens = answer_tokens(model, rows, slice(None), dtype=torch.float32, temperature=TEMPERATURE)
        values = np.zeros(rows.inputs.shape, np.float32)
        values[rows.loss_mask] = tokens.log_p.numpy()
        return values

    return GradedBatch(
        **rows.parts(),
        advantages=advantages,
        num_answers=len(answers),
        num_tokens=sum(len(text.answer) for text in answers),
        old_log_p=None if old is None else laid_out(old),
        reference_log_p=None if reference is None else laid_out(reference),
    )


def by_hand(model, answers, advantages, weighing, *, old, reference):
    num_tokens = sum(len(text.answer) for text in answers)
    total, divergence = 0.0, 0.0
    for text, advantage in zip(answers, advantages.tolist(), strict=True):
        weight = {
            "token": 1 / num_tokens,
            "answer": 1 / len(text.answer) / len(answers),
            "constant": 1 / 9 / len(answers),
        }[weighing]
        now = log_p(model, text)
        before = now.detach() if old is None else log_p(old, text).detach()
        base = None if reference is None else log_p(reference, text).detach()
        for place in range(len(text.answer)):
            ratio = torch.exp(now[place] - before[place])
            loss = -torch.minimum(ratio * advantage, ratio.clamp(0.9, 1.2) * advantage)
            if base is not None:
                difference = base[place] - now[place]
                kl = torch.exp(difference) - difference - 1
                loss = loss + 0.2 * kl
                divergence += kl.item()
            total = total + weight * loss
    return total, divergence


@pytest.mark.parametrize("weighing", ["token", "answer", "constant"])
@pytest.mark.parametrize("later", [False, True], ids=["first update", "later update"])
@pytest.mark.parametrize("with_reference", [False, True], ids=["alone", "with a reference"])
def test_loss_and_gradient_are_those_of_answers_alone(weighing, later, with_reference):
    model = tiny_llama(seed=2)
    old = tiny_llama(seed=2, initializer_range=0.27) if later else None
    reference = tiny_llama(seed=2, initializer_range=0.25) if with_reference else None
    answers, advantages = texts(), np.random.default_rng(1).normal(size=8)
    batch = batch_of(answers, advantages, old, reference)
    settings = GrpoSettings(weighing=weighing, **SETTINGS)
    total, told = 0.0, {"kl": 0.0, "clipped": 0.0}
    for row in range(len(batch.inputs)):
        rows = slice(row, row + 1)
        tokens = answer_tokens(model, batch, rows, dtype=torch.float32, temperature=TEMPERATURE)
        loss, sums = answers_loss(tokens, batch, rows, settings)
        loss.backward()
        total += loss.item()
        told = {name: told[name] + sums[name].item() for name in told}
    found = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    wanted, divergence = by_hand(model, answers, advantages, weighing, old=old, reference=reference)
    wanted.backward()
    assert total == pytest.approx(wanted.item(), rel=1e-4, abs=1e-6)
    assert told["kl"] == pytest.approx(divergence, rel=1e-3, abs=1e-5)
    assert (told["clipped"] > 0) == later
    for one, parameter in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(one, parameter.grad, rtol=2e-3, atol=2e-5)  # f32 sums in another order
    assert math.isfinite(total)


def test_a_prompt_that_comes_twice_in_a_step_is_two_groups():
    def answer(reward):
        return GradedAnswer(
            where="prompts.jsonl:1", question=0, answer="", reward=reward, advantage=0.0, has_ended=True, ids=(1, 2)
        )

    told = what_is_told([answer(reward) for reward in (1.0, 1.0, 0.0, 0.0)], 2)
    assert told["same_rewards"] == 1.0, "each group taught nothing, though the prompt had both rewards"
    assert what_is_told([answer(reward) for reward in (1.0, 0.0, 0.0, 0.0)], 2)["same_rewards"] == 0.5
