"""The loss and its gradients, without ever holding all logits.

Logits of 1,024 tokens over a vocabulary of 49,152 are 201 MB in f32, and their softmax and gradient as much again. Here
rows go through head and softmax in chunks, and each chunk's logits become gradients at once, while they are there: the
loss is a sum, so its gradients are known up to the factor that backward brings.

N rows (tokens), D width, V vocabulary, C rows of a chunk.
"""

from __future__ import annotations

from typing import Any

import torch

from textmill.model.activation_bytes import CHUNK_ROWS_ON_GPU, chunk_rows
from textmill.model.llama import Llama

IGNORED = -100


def summed_nats(model: Llama, x_BTD: torch.Tensor, targets_BT: torch.Tensor) -> torch.Tensor:
    """Sum of ``-log p(target)`` over the targets that are not -100: a number in f64, differentiable once.

    Products are in the dtype of the states, the softmax in f32 (in f64 where the states are), the sum in f64.

    Args:
        model: its head is what multiplies the states.
        x_BTD: hidden states, as ``backbone`` gives them.
        targets_BT: integer ids that follow, of the same rows.
    """
    return head_nats(x_BTD, model.head_weight, targets_BT)


def head_nats(x_BTD: torch.Tensor, weight_VD: torch.Tensor, targets_BT: torch.Tensor) -> torch.Tensor:
    """As ``summed_nats``, with any head."""
    x_ND, targets_N = x_BTD.flatten(0, -2), targets_BT.flatten()
    result: torch.Tensor = _SummedNats.apply(x_ND, weight_VD, targets_N)
    return result


class _SummedNats(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: torch.Tensor, weight_VD: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
        rows = CHUNK_ROWS_ON_GPU if x_ND.is_cuda else chunk_rows(len(weight_VD))
        cast_VD = weight_VD.to(x_ND.dtype)
        needs_x, needs_weight, _ = ctx.needs_input_grad
        d_x_ND = torch.empty_like(x_ND) if needs_x else None
        d_weight_VD = torch.zeros_like(weight_VD) if needs_weight else None
        total = torch.zeros((), dtype=torch.float64, device=x_ND.device)
        for start in range(0, len(x_ND), rows):
            chunk = slice(start, start + rows)
            total += _chunk_nats(
                x_ND[chunk],
                cast_VD,
                targets_N[chunk],
                None if d_x_ND is None else d_x_ND[chunk],
                d_weight_VD,
            )
        ctx.gradients = d_x_ND, d_weight_VD
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, factor: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        assert ctx.gradients is not None, "the gradients of a loss are given away by the first backward"
        d_x_ND, d_weight_VD = ctx.gradients
        ctx.gradients = None
        for gradient in (d_x_ND, d_weight_VD):
            if gradient is not None:
                gradient.mul_(factor)
        return d_x_ND, d_weight_VD, None


def _chunk_nats(
    x_CD: torch.Tensor,
    cast_VD: torch.Tensor,
    targets_C: torch.Tensor,
    d_x_CD: torch.Tensor | None,
    d_weight_VD: torch.Tensor | None,
) -> torch.Tensor:
    """Nats of a chunk, f64; its gradients are written into ``d_x_CD`` and added to ``d_weight_VD``."""
    logits_CV = x_CD @ cast_VD.t()
    log_p_CV = torch.log_softmax(logits_CV, dim=-1, dtype=torch.promote_types(x_CD.dtype, torch.float32))
    del logits_CV
    counts_C = targets_C != IGNORED
    index_C1 = targets_C.where(counts_C, 0)[:, None]
    nats = -log_p_CV.gather(1, index_C1).squeeze(1).where(counts_C, 0.0).double().sum()
    if d_x_CD is None and d_weight_VD is None:
        return nats
    d_logits_CV = log_p_CV.exp_()
    d_logits_CV.scatter_add_(1, index_C1, torch.full_like(index_C1, -1, dtype=d_logits_CV.dtype))
    d_logits_CV.mul_(counts_C[:, None])
    d_logits_CV = d_logits_CV.to(x_CD.dtype)
    if d_x_CD is not None:
        torch.mm(d_logits_CV, cast_VD, out=d_x_CD)
    if d_weight_VD is not None and d_weight_VD.dtype == x_CD.dtype:
        d_weight_VD.addmm_(d_logits_CV.t(), x_CD)
    elif d_weight_VD is not None:
        d_weight_VD.add_(d_logits_CV.t() @ x_CD)
    return nats
