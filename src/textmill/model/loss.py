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
        rows = min(len(x_ND), CHUNK_ROWS_ON_GPU if x_ND.is_cuda else chunk_rows(len(weight_VD)))
        cast_VD = weight_VD.to(x_ND.dtype)
        needs_x, needs_weight, *_ = ctx.needs_input_grad
        d_x_ND = torch.empty_like(x_ND) if needs_x else None
        d_weight_VD = torch.zeros_like(weight_VD) if needs_weight else None
        # All chunks use the same memory: pages that are fetched anew would cost as much as the softmax.
        logits_CV = x_ND.new_empty((rows, len(weight_VD)))
        product_VD = torch.empty_like(cast_VD) if needs_weight and weight_VD.dtype != x_ND.dtype else None
        total = torch.zeros((), dtype=torch.float64, device=x_ND.device)
        for start in range(0, len(x_ND), max(1, rows)):
            chunk = slice(start, start + rows)
            x_CD = x_ND[chunk]
            d_logits_CV = logits_CV[: len(x_CD)]
            torch.mm(x_CD, cast_VD.t(), out=d_logits_CV)
            total += cross_entropy(d_logits_CV, targets_N[chunk], makes_gradient=needs_x or needs_weight, z_loss=z_loss)
            if d_x_ND is not None:
                torch.mm(d_logits_CV, cast_VD, out=d_x_ND[chunk])
            if d_weight_VD is not None:
                add_product(d_weight_VD, d_logits_CV.t(), x_CD, product_VD)
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


def cross_entropy(
    logits_CV: torch.Tensor, targets_C: torch.Tensor, *, makes_gradient: bool, z_loss: float = 0.0
) -> torch.Tensor | float:
    """Sum of nats, in f64; with ``makes_gradient`` the gradient of that takes the place of the logits."""
    run = kernels.cross_entropy if kernels.fit(logits_CV) else plain_cross_entropy
    return run(logits_CV, targets_C, makes_gradient=makes_gradient, z_loss=z_loss)


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


def add_product(
    total_VD: torch.Tensor, left_VC: torch.Tensor, right_CD: torch.Tensor, product_VD: torch.Tensor | None
) -> None:
    """Add a product to ``total``, by way of ``product`` where their dtypes differ."""
    if product_VD is None:
        total_VD.addmm_(left_VC, right_CD)
        return
    torch.mm(left_VC, right_CD, out=product_VD)
    if kernels.fit(product_VD, total_VD):
        kernels.add(product_VD, total_VD)
    else:
        total_VD.add_(product_VD)
