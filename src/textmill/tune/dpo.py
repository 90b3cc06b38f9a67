"""What a batch of pairs costs, and what is told of it: the rows of it that went through the model, taken pair by pair.

P pairs of the batch, N tokens of answers in some of its rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from textmill.tune.answer_log_p import AnswerTokens, by_answer
from textmill.tune.dpo_loss import dpo_loss
from textmill.tune.pair_source import PairBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class DpoSettings:
    """As ``dpo_loss`` explains them; with ``length_normalized`` it is given means over tokens and not sums."""

    beta: float
    label_smoothing: float
    length_normalized: bool


def pairs_loss(
    tokens: AnswerTokens, batch: PairBatch, settings: DpoSettings
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Sum of the losses of the pairs that some rows hold, f64, differentiable; and sums of what is told of them.

    Args:
        tokens: the log-probabilities of those rows.
        batch: all rows; pairs that are in others count nothing here.
        settings: of the loss.

    Returns:
        the loss, and by name: ``reward_margin``, ``accuracy`` (pairs whose chosen answer has the higher reward),
        ``chosen_reward``, ``rejected_reward``, ``chosen_log_p``, ``rejected_log_p``: sums over the pairs.
    """
    assert batch.reference is not None
    num_answers = 2 * len(batch.reference)
    policy_A = by_answer(tokens.log_p, tokens.owners, num_answers)
    counts_A = by_answer(torch.ones_like(tokens.log_p), tokens.owners, num_answers)
    is_here_P = counts_A[0::2] > 0
    reference_A = torch.from_numpy(batch.reference).to(policy_A.device).reshape(-1)
    sums_A = policy_A.detach()
    if settings.length_normalized:
        counts_A = counts_A.clamp(min=1)
        policy_A, reference_A = policy_A / counts_A, reference_A / counts_A
    loss = dpo_loss(
        policy_A[0::2][is_here_P],
        policy_A[1::2][is_here_P],
        reference_A[0::2][is_here_P],
        reference_A[1::2][is_here_P],
        beta=settings.beta,
        label_smoothing=settings.label_smoothing,
    )
    margins = loss.chosen_rewards - loss.rejected_rewards
    return loss.losses.sum(), {
        "reward_margin": margins.sum(),
        "accuracy": (margins > 0).double().sum(),
        "chosen_reward": loss.chosen_rewards.sum(),
        "rejected_reward": loss.rejected_rewards.sum(),
        "chosen_log_p": sums_A[0::2].sum(),
        "rejected_log_p": sums_A[1::2].sum(),
    }
