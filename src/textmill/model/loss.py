"""The loss and its gradients, without ever holding all logits.

Logits of 1,024 tokens over a vocabulary of 49,152 are 201 MB in f32, and their softmax and gradient as much again. Here
rows go through head and softmax in chunks, and each chunk's logits become gradients at once, while they are there: the
loss is a sum, so its gradients are known up to the factor that backward brings.

Logits are a sum of products: of states and the head, and where that has an adapter of its thin rows and second factor.

N rows (tokens), D width, V vocabulary, C rows of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
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
        model: its head is what multiplies the states, adapted where it has an adapter.
        x_BTD: hidden states, as ``backbone`` gives them.
        targets_BT: integer ids that follow, of the same rows.
        z_loss: the coefficient, 1e-4 for one.
    """
    x_ND = x_BTD.flatten(0, -2)
    return head_nats(x_ND, model.head_weight, targets_BT.flatten(), z_loss, model.head_adapter(x_ND))


def head_nats(
    x_BTD: torch.Tensor,
    weight_VD: torch.Tensor,
    targets_BT: torch.Tensor,
    z_loss: float = 0.0,
    adapter: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """As ``summed_nats``, with any head, and an ``adapter`` as ``Llama.head_adapter`` gives it."""
    x_ND, targets_N = x_BTD.flatten(0, -2), targets_BT.flatten()
    result: torch.Tensor = _SummedNats.apply(targets_N, z_loss, x_ND, weight_VD, *(adapter or ()))
    return result


class _SummedNats(torch.autograd.Function):
    """Of logits that are the sum of products: ``terms`` are rows [N, K] and a matrix [V, K] of each in turn."""

    @staticmethod
    def forward(ctx: Any, targets_N: torch.Tensor, z_loss: float, *terms: torch.Tensor) -> torch.Tensor:
        rows_of, weights = terms[::2], terms[1::2]
        x_ND, weight_VD = terms[:2]
        needs = ctx.needs_input_grad[2:]
        num_rows = min(len(x_ND), CHUNK_ROWS_ON_GPU if x_ND.is_cuda else chunk_rows(len(weight_VD)))
        casts = [weight.to(x_ND.dtype) for weight in weights]
        d_rows = [torch.empty_like(rows) if need else None for rows, need in zip(rows_of, needs[::2], strict=True)]
        d_weights = [
            HeadGradient(w, c) if need else None for w, c, need in zip(weights, casts, needs[1::2], strict=True)
        ]
        # All chunks use the same memory: pages that are fetched anew would cost as much as the softmax.
        logits_CV = x_ND.new_empty((num_rows, len(weight_VD)))
        total = torch.zeros((), dtype=torch.float64, device=x_ND.device)
        for start in range(0, len(x_ND), max(1, num_rows)):
            chunk = slice(start, start + num_rows)
            d_logits_CV = logits_CV[: len(x_ND[chunk])]
            add_up_logits([rows[chunk] for rows in rows_of], casts, out=d_logits_CV)
            total += cross_entropy(d_logits_CV, targets_N[chunk], makes_gradient=any(needs), z_loss=z_loss)
            for rows, cast, d_x, d_weight in zip(rows_of, casts, d_rows, d_weights, strict=True):
                if d_x is not None:
                    torch.mm(d_logits_CV, cast, out=d_x[chunk])
                if d_weight is not None:
                    d_weight.add(d_logits_CV, rows[chunk])
        d_all = [None if one is None else one.total for one in d_weights]
        ctx.gradients = [gradient for pair in zip(d_rows, d_all, strict=True) for gradient in pair]
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, factor: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        assert ctx.gradients is not None, "the gradients of a loss are given away by the first backward"
        gradients, ctx.gradients = ctx.gradients, None
        for gradient in gradients:
            if gradient is not None:
                gradient.mul_(factor)
        return None, None, *gradients


def add_up_logits(rows: Sequence[torch.Tensor], casts: Sequence[torch.Tensor], *, out: torch.Tensor) -> None:
    """Make ``out`` [C, V] the sum of products of rows [C, K] and matrices [V, K], all in its dtype."""
    torch.mm(rows[0], casts[0].t(), out=out)
    for more, cast in zip(rows[1:], casts[1:], strict=True):
        out.addmm_(more, cast.t())


class HeadGradient:
    """The gradient of a matrix [V, K] that makes logits, added up over chunks of rows in its own dtype.

    Args:
        weight_VK: the matrix.
        cast_VK: in the dtype of products.
    """

    def __init__(self, weight_VK: torch.Tensor, cast_VK: torch.Tensor) -> None:
        self.total = torch.zeros_like(weight_VK)
        self._product = None if weight_VK.dtype == cast_VK.dtype else torch.empty_like(cast_VK)

    def add(self, d_logits_CV: torch.Tensor, rows_CK: torch.Tensor) -> None:
        """Add what a chunk's logits bring."""
        if self._product is None:
            self.total.addmm_(d_logits_CV.t(), rows_CK)
            return
        torch.mm(d_logits_CV.t(), rows_CK, out=self._product)
        if kernels.fit(self._product, self.total):
            kernels.add(self._product, self.total)
        else:
            self.total.add_(self._product)


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
