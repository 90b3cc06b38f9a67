"""What a batch of answers costs that the model has written itself, and what is told of it.

R rows, T tokens of a row; N tokens of answers in some of them; A answers of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textmill.tune.answer_log_p import AnswerTokens, by_answer
from textmill.tune.answer_rows import AnswerBatch
from textmill.tune.grpo_loss import Weighing, grpo_terms, token_weights


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpoSettings:
    """As ``grpo_terms`` and ``token_weights`` explain them; ``max_tokens`` is the longest answer allowed."""

    beta: float
    clip_low: float
    clip_high: float
    unbiased_kl: bool
    weighing: Weighing
    max_tokens: int


@dataclass(frozen=True, slots=True)
class GradedBatch(AnswerBatch):
    """Answers in rows, and how much better each is than the others to its prompt.

    Attributes:
        advantages: float64[A].
        num_answers: of the whole step, over all ranks; ``num_tokens`` the tokens of all of them.
        old_log_p: float32[R, T], log-probabilities of targets under the model that wrote the answers; None where that
            is the model as it is.
        reference_log_p: float32[R, T], under the model that tuning began from; None where it does not count.
    """

    advantages: NDArray[np.float64] | None = None
    num_answers: int = 0
    num_tokens: int = 0
    old_log_p: NDArray[np.float32] | None = None
    reference_log_p: NDArray[np.float32] | None = None


def answers_loss(
    tokens: AnswerTokens, batch: GradedBatch, rows: slice, settings: GrpoSettings
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The part of a step's loss that some rows bring, f64, differentiable; and sums of what is told of them.

    Args:
        tokens: the log-probabilities of those rows.
        batch: all rows.
        rows: those that ``tokens`` are of.
        settings: of the loss.

    Returns:
        the loss, whose parts add up to that of the step, and by name: ``kl`` and ``clipped``, sums over tokens.
    """
    assert batch.advantages is not None
    device = tokens.log_p.device
    is_answer_RT = batch.loss_mask[rows]

    def of_tokens(values_RT: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values_RT[rows][is_answer_RT]).to(device)

    terms = grpo_terms(
        tokens.log_p[:, None],
        tokens.log_p.detach()[:, None] if batch.old_log_p is None else of_tokens(batch.old_log_p)[:, None],
        None if batch.reference_log_p is None else of_tokens(batch.reference_log_p)[:, None],
        torch.from_numpy(batch.advantages).to(device, torch.float32)[tokens.owners],
        beta=settings.beta,
        clip_low=settings.clip_low,
        clip_high=settings.clip_high,
        unbiased_kl=settings.unbiased_kl,
    )
    lengths_A = by_answer(torch.ones_like(tokens.log_p), tokens.owners, len(batch.advantages)).clamp(min=1)
    weights_A = token_weights(
        lengths_A,
        settings.weighing,
        num_answers=batch.num_answers,
        num_tokens=batch.num_tokens,
        longest=settings.max_tokens,
    )
    loss = (terms.losses.squeeze(1).double() * weights_A[tokens.owners]).sum()
    return loss, {"kl": terms.kl.double().sum(), "clipped": terms.is_clipped.double().sum()}
