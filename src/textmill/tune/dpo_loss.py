"""The loss of direct preference optimisation (arXiv:2305.18290 §4), a pure function of log-probabilities.

P pairs of answers to the same prompt, of which one is preferred.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional


class DpoLoss(NamedTuple):
    """What a batch of pairs comes to.

    Attributes:
        losses: [P], the loss of each pair, in nats; differentiable.
        chosen_rewards: [P], ``beta * log(policy / reference)`` of the preferred answers, without a gradient.
        rejected_rewards: [P], of the others.
    """

    losses: torch.Tensor
    chosen_rewards: torch.Tensor
    rejected_rewards: torch.Tensor


def dpo_loss(
    policy_chosen_P: torch.Tensor,
    policy_rejected_P: torch.Tensor,
    reference_chosen_P: torch.Tensor,
    reference_rejected_P: torch.Tensor,
    *,
    beta: float,
    label_smoothing: float = 0.0,
) -> DpoLoss:
    """Loss of pairs: ``-log sigmoid(margin)``, where margin is the difference of the two rewards.

    With ``label_smoothing`` e it is ``-(1 - e) log sigmoid(margin) - e log sigmoid(-margin)``, for labels of which the
    share e is wrong (arXiv:2305.18290 has e = 0; Mitchell, "A note on DPO with noisy preferences", 2023).

    Args:
        policy_chosen_P: log-probability of each preferred answer given its prompt, in nats; sums over its tokens, or
            means where the loss is to be normalised by length (arXiv:2411.15124 §5.1.2).
        policy_rejected_P: of the other answer.
        reference_chosen_P: under the model that tuning began from, summed in the same way.
        reference_rejected_P: of the other answer.
        beta: how closely the model is held to the reference.
        label_smoothing: the share of pairs that are taken to be the wrong way round.
    """
    chosen_P = policy_chosen_P - reference_chosen_P
    rejected_P = policy_rejected_P - reference_rejected_P
    margin_P = beta * (chosen_P - rejected_P)
    losses_P = -functional.logsigmoid(margin_P)
    if label_smoothing:
        losses_P = (1 - label_smoothing) * losses_P - label_smoothing * functional.logsigmoid(-margin_P)
    return DpoLoss(losses_P, beta * chosen_P.detach(), beta * rejected_P.detach())
