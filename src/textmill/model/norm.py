"""RMSNorm: scale to unit root mean square, then by a learned weight (arXiv:1910.07467 §3).

N rows, D width. Arithmetic is in f32 whatever the activations are in, and in f64 where they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from textmill.model import kernels


class RMSNorm(nn.Module):
    """Normalise the last axis; functions of blocks read the weight, and norm themselves."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.eps = eps

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Return ``x / sqrt(mean(x²) + eps) * weight`` in the dtype of ``x``."""
        normed: torch.Tensor = _Norm.apply(x_BTD, self.weight, self.eps)
        return normed


def wide(x: torch.Tensor) -> torch.Tensor:
    """Return ``x`` in f32, or in f64 where it is in that."""
    return x if x.dtype == torch.float64 else x.float()


def norm_rows(
    x: torch.Tensor, weight_D: torch.Tensor, eps: float, added: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Norm rows [..., D], or the sum of two.

    Returns:
        the normed rows; ``1 / sqrt(mean(x²) + eps)`` of each, [..., 1] in f32 or f64; what was normed.
    """
    return (kernels.norm if kernels.fit(x, weight_D) else plain_norm)(x, weight_D, eps, added)


def norm_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    inverse: torch.Tensor,
    weight_D: torch.Tensor,
    added: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gradients with respect to ``x`` [..., D], in its dtype, and to the weight [D], in its own.

    With ``u = x * inverse``: d weight = sum of gradient * u over rows, and
    d x = inverse * (gradient * weight - u * mean(gradient * weight * u)), with ``added`` to it where there is some.
    """
    run = kernels.norm_backward if kernels.fit(x, weight_D) else plain_norm_backward
    return run(gradient, x, inverse, weight_D, added)


def plain_norm(
    x: torch.Tensor, weight_D: torch.Tensor, eps: float, added: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The twin of ``kernels.norm``."""
    total = x if added is None else x + added
    dtype = torch.promote_types(x.dtype, torch.float32)
    # One pass over x, and no copy of it in f32.
    norm = torch.linalg.vector_norm(total, dim=-1, keepdim=True, dtype=dtype)
    inverse = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
    rows = (wide(total) * inverse).mul_(weight_D.to(inverse.dtype)).to(x.dtype)
    return rows, inverse, total


def plain_norm_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    inverse: torch.Tensor,
    weight_D: torch.Tensor,
    added: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The twin of ``kernels.norm_backward``."""
    width = x.shape[-1]
    unit_ND = (wide(x) * inverse).reshape(-1, width)
    gradient_ND = wide(gradient).reshape(-1, width)
    weight_wide_D = weight_D.to(unit_ND.dtype)
    product_ND = gradient_ND * unit_ND
    weight_gradient_D = product_ND.sum(0)
    mean_N1 = torch.mv(product_ND, weight_wide_D).div_(width)[:, None]
    # In the product's memory: it is not needed any more.
    x_gradient_ND = torch.mul(gradient_ND, weight_wide_D, out=product_ND)
    x_gradient_ND.addcmul_(unit_ND, mean_N1, value=-1).mul_(inverse.reshape(-1, 1))
    x_gradient = x_gradient_ND.view(x.shape)
    if added is not None:
        x_gradient += added
    return x_gradient.to(x.dtype), weight_gradient_D.to(weight_D.dtype)


class _Norm(torch.autograd.Function):
    """A norm by itself; saves ``x`` and a number for each row."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight_D: torch.Tensor, eps: float) -> torch.Tensor:
        rows, inverse, _ = norm_rows(x, weight_D, eps)
        ctx.save_for_backward(x, inverse, weight_D)
        return rows

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        return *norm_backward(gradient, *ctx.saved_tensors), None
