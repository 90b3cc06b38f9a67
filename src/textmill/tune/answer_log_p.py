"""How probable answers are under a model: their tokens' log-probabilities, differentiable, and sums by answer.

R rows, T tokens of a row; N tokens of answers in them, in the order of rows; A answers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from textmill.model.llama import Llama
from textmill.model.remat import Remat
from textmill.model.token_nats import token_nats
from textmill.tune.answer_rows import NOBODY, AnswerBatch


class AnswerTokens(NamedTuple):
    """Tokens of answers.

    Attributes:
        log_p: log-probability of each, [N], in f32; differentiable.
        owners: the number of its answer in the step, int64 [N].
    """

    log_p: torch.Tensor
    owners: torch.Tensor


def answer_tokens(
    model: Llama,
    batch: AnswerBatch,
    rows: slice,
    *,
    dtype: torch.dtype,
    remat: Remat = "none",
    temperature: float = 1.0,
) -> AnswerTokens:
    """Log-probabilities of the answers in some rows of a batch.

    Args:
        model: what is asked.
        batch: texts in rows.
        rows: which of them go through at once.
        dtype: of activations and products.
        remat: what is recomputed in the backward pass.
        temperature: what logits are divided by: how the answers were drawn.
    """
    device = model.head_weight.device

    def on_device(array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    assert batch.positions is not None
    assert batch.segments is not None
    assert batch.owners is not None
    owners_RT = on_device(batch.owners[rows])
    x_RTD = model.backbone(
        on_device(batch.inputs[rows]),
        dtype=dtype,
        positions_BT=on_device(batch.positions[rows]),
        segments_BT=on_device(batch.segments[rows]),
        remat=remat,
    )
    is_answer_RT = owners_RT != NOBODY
    x_ND = x_RTD[is_answer_RT]
    if temperature != 1.0:
        x_ND = x_ND / temperature  # the head is linear, so its logits are divided
    targets_N = on_device(batch.targets[rows])[is_answer_RT]
    nats_N = token_nats(x_ND, model.head_weight, targets_N, model.head_adapter(x_ND))
    return AnswerTokens(-nats_N, owners_RT[is_answer_RT].long())


def by_answer(values_N: torch.Tensor, owners_N: torch.Tensor, num_answers: int) -> torch.Tensor:
    """Sums of values by answer, f64 [A], differentiable; 0 for answers that have none."""
    zeros_A = torch.zeros(num_answers, dtype=torch.float64, device=values_N.device)
    return zeros_A.index_add(0, owners_N, values_N.double())
