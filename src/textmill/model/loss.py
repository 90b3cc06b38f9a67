"""The loss and its gradients, without ever holding all logits.

Logits of 1,024 tokens over a vocabulary of 49,152 are 201 MB in f32, and their softmax and gradient as much again. Here
rows go through head and softmax in chunks, and each chunk's logits become gradients at once, while they are there: the
loss is a sum, so its gradients are known up to the factor that backward brings.

N rows (tokens), D width, V vocabulary, C rows of a chunk.
"""

from __future__ import annotations

from typing import Any

import torch

from textmill.model import kernels
from textmill.model.activation_bytes import CHUNK_ROWS_ON_GPU, chunk_rows
from textmill.model.llama import Llama

IGNORED = -100


def summed_nats(model: Llama, x_BTD: torch.Tensor, targets_BT: torch.Tensor, z_loss: float = 0.0) -> torch.Tensor:
    """Sum of ``-log p(target)`` over the targets that are not -100: a number in f64, differentiable once.

    Products are in the dtype of the states, the softmax in f32 (in f64 where the states are), the sum in f64.

    With ``z_loss`` its gradient is that of the sum of ``-log p(target) + z_loss * z**2``, where z is the logarithm of
    the softmax's normaliser: it keeps logits from drifting away together (arXiv:2204.02311 §5). The number itself
    stays what it is without.

    Args:
        model: its head is what multiplies the states.
        x_BTD: hidden states, as ``backbone`` gives them.
        targets_BT: integer ids that follow, of the same rows.
        z_loss: the coefficient, 1e-4 for one.
    """
    return head_nats(x_BTD, model.head_weight, targets_BT, z_loss)


def head_nats(
    x_BTD: torch.Tensor, weight_VD: torch.Tensor, targets_BT: torch.Tensor, z_loss: float = 0.0
) -> torch.Tensor:
    """As ``summed_nats``, with any head."""
    x_ND, targets_N = x_BTD.flatten(0, -2), targets_BT.flatten()
    result: torch.Tensor = _SummedNats.apply(x_ND, weight_VD, targets_N, z_loss)
    return result


class _SummedNats(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_ND: torch.Tensor, weight_VD: torch.Tensor, targets_N: torch.Tensor, z_loss: float
    ) -> torch.Tensor:
        rows = CHUNK_ROWS_ON_GPU if x_ND.is_cuda else chunk_rows(len(weight_VD))
        cast_VD = weight_VD.to(x_ND.dtype)
        needs_x, needs_weight, *_ = ctx.needs_input_grad
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
                z_loss=z_loss,
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
        return d_x_ND, d_weight_VD, None, None


def _chunk_nats(
    x_CD: torch.Tensor,
    cast_VD: torch.Tensor,
    targets_C: torch.Tensor,
    d_x_CD: torch.Tensor | None,
    d_weight_VD: torch.Tensor | None,
    *,
    z_loss: float,
) -> torch.Tensor | float:
    """Nats of a chunk, f64; its gradients are written into ``d_x_CD`` and added to ``d_weight_VD``."""
    logits_CV = x_CD @ cast_VD.t()
    makes_gradient = d_x_CD is not None or d_weight_VD is not None
    run = kernels.cross_entropy if kernels.fit(logits_CV) else plain_cross_entropy
    nats = run(logits_CV, targets_C, makes_gradient=makes_gradient, z_loss=z_loss)
    if d_x_CD is not None:
        torch.mm(logits_CV, cast_VD, out=d_x_CD)
    if d_weight_VD is not None and d_weight_VD.dtype == x_CD.dtype:
        d_weight_VD.addmm_(logits_CV.t(), x_CD)
    elif d_weight_VD is not None and kernels.fit(x_CD, d_weight_VD):
        kernels.add(logits_CV.t() @ x_CD, d_weight_VD)
    elif d_weight_VD is not None:
        d_weight_VD.add_(logits_CV.t() @ x_CD)
    return nats


def plain_cross_entropy(
    logits_CV: torch.Tensor, targets_C: torch.Tensor, *, makes_gradient: bool, z_loss: float = 0.0
) -> torch.Tensor:
    """The twin of ``kernels.cross_entropy``: nats in f64, and the gradient in the place of the logits.

    A row's gradient is ``p - onehot(target)``, and with z-loss ``(1 + 2 z_loss z) p - onehot(target)``.
    """
    log_p_CV = torch.log_softmax(logits_CV, dim=-1, dtype=torch.promote_types(logits_CV.dtype, torch.float32))
    counts_C = targets_C != IGNORED
    index_C1 = targets_C.where(counts_C, 0)[:, None]
    log_p_C1 = log_p_CV.gather(1, index_C1)
    nats = -log_p_C1.squeeze(1).where(counts_C, 0.0).double().sum()
    if makes_gradient:
        d_logits_CV = log_p_CV.exp_()
        if z_loss:
            d_logits_CV.mul_(1 + 2 * z_loss * (logits_CV.gather(1, index_C1) - log_p_C1))
        d_logits_CV.scatter_add_(1, index_C1, torch.full_like(index_C1, -1, dtype=d_logits_CV.dtype))
        logits_CV.copy_(d_logits_CV.mul_(counts_C[:, None]))
    return nats
