"""GRPO's advantages, loss and gradient against closed forms, one token after another in Python's own floats."""

import math
import statistics

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from textmill.tune.grpo_loss import group_advantages, grpo_terms, token_weights


def test_advantages_are_those_within_the_group():
    rewards = [[1.0, 0.0, 0.0, 1.0], [0.25, 3.0, -2.0, 0.5]]
    found = group_advantages(torch.tensor(rewards, dtype=torch.float64))
    for group, row in zip(rewards, found.tolist(), strict=True):
        mean, deviation = statistics.mean(group), statistics.stdev(group)
        assert row == pytest.approx([(reward - mean) / (deviation + 1e-4) for reward in group], rel=1e-12)
    unscaled = group_advantages(torch.tensor(rewards, dtype=torch.float64), "none")
    assert unscaled[1].tolist() == pytest.approx([reward - 0.4375 for reward in rewards[1]])


def test_a_group_of_equal_rewards_teaches_nothing():
    assert group_advantages(torch.full((3, 4), 0.7)).abs().max() < 1e-2
    assert group_advantages(torch.ones(3, 4)).tolist() == [[0.0] * 4] * 3


def by_hand(log_p, old, reference, advantage, *, beta, low, high, unbiased):
    """Loss of a token, its slope in log p, and its divergence."""
    ratio = math.exp(log_p - old)
    plain, held = ratio * advantage, min(max(ratio, 1 - low), 1 + high) * advantage
    loss, slope = -min(plain, held), -plain if plain <= held else 0.0
    if reference is None:
        return loss, slope, 0.0
    difference = reference - log_p
    kl = math.exp(difference) - difference - 1
    cost, of_cost = kl, 1 - math.exp(difference)
    if unbiased:
        cost, of_cost = ratio * kl, ratio * (of_cost + kl)
    return loss + beta * cost, slope + beta * of_cost, kl


@pytest.mark.parametrize(("with_reference", "unbiased"), [(False, True), (True, True), (True, False)])
def test_loss_and_gradient_of_each_token_are_the_closed_forms(with_reference, unbiased):
    rng = np.random.default_rng(3)
    log_p, old, reference = rng.normal(-2, 0.4, (3, 6, 5))
    advantages = rng.normal(size=6)
    settings = {"beta": 0.3, "low": 0.2, "high": 0.28, "unbiased": unbiased}
    leaf = torch.tensor(log_p, requires_grad=True)
    terms = grpo_terms(
        leaf,
        torch.tensor(old),
        torch.tensor(reference) if with_reference else None,
        torch.tensor(advantages),
        beta=0.3,
        clip_low=0.2,
        clip_high=0.28,
        unbiased_kl=unbiased,
    )
    terms.losses.sum().backward()
    num_clipped = 0
    for row, column in np.ndindex(6, 5):
        at = (row, column)
        wanted = by_hand(log_p[at], old[at], reference[at] if with_reference else None, advantages[row], **settings)
        found = terms.losses[at].item(), leaf.grad[at].item(), terms.kl[at].item()
        assert found == pytest.approx(wanted, rel=1e-10, abs=1e-13)
        num_clipped += bool(terms.is_clipped[at])
        ratio = math.exp(log_p[at] - old[at])
        is_held = ratio < 0.8 if advantages[row] < 0 else ratio > 1.28
        assert bool(terms.is_clipped[at]) == is_held
    assert num_clipped > 3, "the case that is clipped is among them"


def test_the_first_update_follows_the_advantage():
    """The policy that wrote the answers has ratio 1 everywhere, and the gradient of plain policy gradients."""
    log_p = torch.full((2, 3), -1.5, dtype=torch.float64, requires_grad=True)
    terms = grpo_terms(log_p, log_p.detach(), None, torch.tensor([2.0, -0.5]), beta=0.0, clip_low=0.2, clip_high=0.2)
    terms.losses.sum().backward()
    assert log_p.grad.tolist() == [[-2.0] * 3, [0.5] * 3]
    assert not terms.is_clipped.any()


@pytest.mark.parametrize(
    ("weighing", "wanted"),
    [("token", [1 / 12, 1 / 12]), ("answer", [1 / (4 * 3), 1 / (2 * 3)]), ("constant", [1 / 30, 1 / 30])],
)
def test_weights_of_tokens(weighing, wanted):
    """Two answers of 4 and 2 tokens, of a step with 3 answers, 12 tokens, and room for 10 in each."""
    found = token_weights(torch.tensor([4, 2]), weighing, num_answers=3, num_tokens=12, longest=10)
    assert found.tolist() == pytest.approx(wanted)
