"""DPO's loss and its gradient against closed forms, written down in numpy's float64."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from textmill.tune.dpo_loss import dpo_loss


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def random_sides(seed=0, pairs=7):
    rng = np.random.default_rng(seed)
    return [rng.normal(-20, 5, pairs) for _ in range(4)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
@pytest.mark.parametrize("beta", [0.05, 0.5, 2.0])
def test_loss_and_gradient_are_the_closed_forms(beta, smoothing):
    sides = random_sides()
    tensors = [torch.tensor(side, requires_grad=True) for side in sides]
    loss = dpo_loss(*tensors, beta=beta, label_smoothing=smoothing)
    loss.losses.sum().backward()

    chosen, rejected, reference_chosen, reference_rejected = sides
    margin = beta * ((chosen - rejected) - (reference_chosen - reference_rejected))
    wanted = -(1 - smoothing) * np.log(sigmoid(margin)) - smoothing * np.log(sigmoid(-margin))
    slope = beta * (sigmoid(margin) - (1 - smoothing))
    np.testing.assert_allclose(loss.losses.detach(), wanted, rtol=1e-12, atol=1e-15)  # 1 + 1e-16 is 1 in numpy's
    np.testing.assert_allclose(tensors[0].grad, slope, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(tensors[1].grad, -slope, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(loss.chosen_rewards, beta * (chosen - reference_chosen), rtol=1e-12)
    np.testing.assert_allclose(loss.rejected_rewards, beta * (rejected - reference_rejected), rtol=1e-12)
    assert not loss.chosen_rewards.requires_grad


def test_a_model_that_is_its_reference_pays_the_logarithm_of_two():
    side = torch.tensor([-3.0, -300.0])
    loss = dpo_loss(side, side - 1, side, side - 1, beta=0.1)
    torch.testing.assert_close(loss.losses, torch.full((2,), float(np.log(2))))


def test_margins_beyond_the_exponential_stay_finite():
    huge = torch.tensor([1e5, -1e5], requires_grad=True)
    loss = dpo_loss(huge, torch.zeros(2), torch.zeros(2), torch.zeros(2), beta=1.0)
    loss.losses.sum().backward()
    assert loss.losses.tolist() == [0.0, 1e5]
    assert huge.grad.tolist() == [0.0, -1.0]
