"""A norm and the matrix products that share it, as one function: q, k and v; gate and up.

For backward it saves what goes into the norm, and norms that again where the products' gradients need it; or it keeps
the normed rows, too (``keeps_all``). N rows, D width, O outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from textmill.model.linear import Linear, bias_gradient, product, weight_gradient
from textmill.model.norm import RMSNorm, inverse_rms, norm_gradients, normed


def norm_linear(
    x_BTD: torch.Tensor, norm: RMSNorm, layers: Sequence[Linear], *, keeps_all: bool
) -> tuple[torch.Tensor, ...]:
    """Norm ``x`` and multiply it by each layer: [B, T, D] to one [B, T, O] for each."""
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    products: tuple[torch.Tensor, ...] = _NormLinear.apply(x_BTD, norm.weight, norm.eps, keeps_all, *parameters)
    return products


class _NormLinear(torch.autograd.Function):
    """Saves x, a number for each row, and with ``keeps_all`` the normed rows and casts of the weights."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, norm_weight: torch.Tensor, eps: float, keeps_all: bool, *parameters: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        inverse = inverse_rms(x, eps)
        rows = normed(x, inverse, norm_weight)
        casts = [weight.to(x.dtype) for weight in parameters[::2]]
        ctx.keeps_all = keeps_all
        ctx.save_for_backward(x, inverse, norm_weight, *parameters, *((rows, *casts) if keeps_all else ()))
        return tuple(product(rows, *pair) for pair in zip(casts, parameters[1::2], strict=True))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        x, inverse, norm_weight, *rest = ctx.saved_tensors
        parameters = rest[: 2 * len(gradients)]
        if ctx.keeps_all:
            rows, *casts = rest[2 * len(gradients) :]
        else:
            rows = normed(x, inverse, norm_weight)
            casts = [weight.to(x.dtype) for weight in parameters[::2]]
        rows_gradients = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
        d_parameters = _parameter_gradients(
            rows_gradients, rows.reshape(-1, x.shape[-1]), parameters, ctx.needs_input_grad
        )
        del rows
        rows_gradient = rows_gradients[0] @ casts[0]
        for gradient, cast in zip(rows_gradients[1:], casts[1:], strict=True):
            rows_gradient.addmm_(gradient, cast)
        return *norm_gradients(rows_gradient.view(x.shape), x, inverse, norm_weight), None, None, *d_parameters


def _parameter_gradients(
    gradients: Sequence[torch.Tensor],
    rows_ND: torch.Tensor,
    parameters: Sequence[torch.Tensor | None],
    needed: Sequence[bool],
) -> list[torch.Tensor | None]:
    """Of each weight and bias in turn; ``needed`` says so of all that the function takes."""
    result: list[torch.Tensor | None] = []
    for index, gradient_NO in enumerate(gradients):
        weight, bias = parameters[2 * index : 2 * index + 2]
        assert weight is not None
        needs = needed[4 + 2 * index]
        result.append(weight_gradient(gradient_NO, rows_ND, weight) if needs else None)
        result.append(bias_gradient(gradient_NO, bias))
    return result
