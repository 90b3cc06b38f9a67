"""Group relative policy optimisation (arXiv:2402.03300 §4.1): advantages and the loss, as pure functions.

A prompts, G answers to each; N answers (A times G); T tokens of the longest answer.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch

Scale = Literal["group", "none"]
Weighing = Literal["token", "answer", "constant"]

# Rewards of a group that differ by less than rounding are the same, and teach nothing.
_LEAST_DEVIATION = 1e-4


class GrpoTerms(NamedTuple):
    """What each token of the answers comes to, all [N, T].

    Attributes:
        losses: the loss of each token, not yet weighed; differentiable.
        kl: the estimate of its divergence from the reference, zeros without one; no gradient.
        is_clipped: where the ratio is held back by the clip.
    """

    losses: torch.Tensor
    kl: torch.Tensor
    is_clipped: torch.Tensor


def group_advantages(rewards_AG: torch.Tensor, scale: Scale = "group") -> torch.Tensor:
    """How much better each answer is than the others to its prompt, [A, G].

    ``(reward - mean) / (deviation + 1e-4)``, the deviation that of a sample (divided by G - 1). With scale ``none`` it
    is ``reward - mean``, so that prompts whose answers are nearly all good or bad do not weigh more (arXiv:2503.20783).

    Args:
        rewards_AG: a reward for each answer; G is 2 or more.
        scale: what the difference from the mean is divided by.
    """
    assert rewards_AG.shape[1] > 1, "a group of one has nothing to be compared with"
    centred_AG = rewards_AG - rewards_AG.mean(dim=1, keepdim=True)
    if scale == "none":
        return centred_AG
    return centred_AG / (rewards_AG.std(dim=1, keepdim=True) + _LEAST_DEVIATION)


def grpo_terms(
    log_p_NT: torch.Tensor,
    old_log_p_NT: torch.Tensor,
    reference_log_p_NT: torch.Tensor | None,
    advantages_N: torch.Tensor,
    *,
    beta: float,
    clip_low: float,
    clip_high: float,
    unbiased_kl: bool = True,
) -> GrpoTerms:
    """Loss of each token: ``-min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) + beta * kl``, r the ratio to the old p.

    ``kl`` is the estimator ``exp(d) - d - 1`` with d = log reference - log p, which is never below 0 and right in the
    mean (Schulman, "Approximating KL divergence", 2020: k3). Its gradient is not that of the divergence; with
    ``unbiased_kl`` the loss takes ``r * kl``, whose gradient is (arXiv:2512.02556 §3.1).

    Args:
        log_p_NT: log-probability of each token under the model that learns.
        old_log_p_NT: under the model that wrote the answers; no gradient flows into it.
        reference_log_p_NT: under the model that tuning began from; None where ``beta`` is 0.
        advantages_N: of each answer.
        beta: what a nat of divergence costs.
        clip_low: how far the ratio may fall below 1 and still be followed.
        clip_high: how far it may rise above 1.
        unbiased_kl: whether the ratio is a factor of the divergence in the loss.
    """
    ratio_NT = torch.exp(log_p_NT - old_log_p_NT.detach())
    clipped_NT = ratio_NT.clamp(1 - clip_low, 1 + clip_high)
    advantages_N1 = advantages_N[:, None]
    losses_NT = -torch.minimum(ratio_NT * advantages_N1, clipped_NT * advantages_N1)
    with torch.no_grad():
        is_clipped_NT = ((ratio_NT < 1 - clip_low) & (advantages_N1 < 0)) | (
            (ratio_NT > 1 + clip_high) & (advantages_N1 > 0)
        )
    if reference_log_p_NT is None:
        return GrpoTerms(losses_NT, torch.zeros_like(log_p_NT, requires_grad=False), is_clipped_NT)
    difference_NT = reference_log_p_NT.detach() - log_p_NT
    kl_NT = torch.exp(difference_NT) - difference_NT - 1
    cost_NT = beta * kl_NT * (ratio_NT if unbiased_kl else 1.0)
    return GrpoTerms(losses_NT + cost_NT, kl_NT.detach(), is_clipped_NT)


def token_weights(
    lengths_N: torch.Tensor, weighing: Weighing, *, num_answers: int, num_tokens: int, longest: int
) -> torch.Tensor:
    """What each token of an answer weighs in the loss of a step, [N]; the loss is the weighed sum over all tokens.

    ========= ====================== =====================================================================
    token     1 / num_tokens         every token of the step alike (arXiv:2503.14476 §3.3: DAPO)
    answer    1 / (length * answers) every answer alike, as GRPO came first: long answers are punished less
    constant  1 / (answers * longest) as much as it would in the longest answer allowed (arXiv:2503.20783)
    ========= ====================== =====================================================================

    Args:
        lengths_N: tokens of each answer here, at least 1.
        weighing: which of them.
        num_answers: answers of the whole step, of which these may be a part.
        num_tokens: tokens of all those answers.
        longest: tokens that an answer may have.
    """
    match weighing:
        case "token":
            return torch.full_like(lengths_N, 1 / num_tokens, dtype=torch.float32)
        case "answer":
            return 1 / (lengths_N.float() * num_answers)
        case "constant":
            return torch.full_like(lengths_N, 1 / (num_answers * longest), dtype=torch.float32)
