"""A norm and the matrix products that share it, as one function: q, k and v; gate and up.

The products are one: their weights are put into one matrix. For backward it saves what goes into the norm, and norms
that again where the products' gradients need it; or it keeps the normed rows, too (``keeps_all``).
N rows, D width, O outputs of all products together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from textmill.model.linear import Linear, bias_gradient, joined, product, weight_gradient
from textmill.model.norm import RMSNorm, norm_backward, norm_rows


def norm_linear(
    x_BTD: torch.Tensor,
    norm: RMSNorm,
    layers: Sequence[Linear],
    *,
    added_BTD: torch.Tensor | None = None,
    keeps_all: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Norm ``x``, or the sum of ``x`` and ``added``, and multiply it by the layers.

    The layers have all a bias, or none.

    Returns:
        what was normed, [B, T, D], and the layers' outputs side by side, [B, T, O]. Whoever goes on with what was
        normed should take it from here: its gradient is added to that of the norm in one pass.
    """
    if any(layer.adapter is not None for layer in layers):
        from textmill.model.adapted import adapted_norm_linear  # which builds on this file's neighbours

        return adapted_norm_linear(x_BTD, norm, layers, added_BTD=added_BTD, keeps_all=keeps_all)
    parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
    results: tuple[torch.Tensor, torch.Tensor] = _NormLinear.apply(
        x_BTD, added_BTD, norm.weight, norm.eps, keeps_all, *parameters
    )
    return results


class _NormLinear(torch.autograd.Function):
    """Saves x, a number for each row, and with ``keeps_all`` the normed rows and casts of the weights."""

    @staticmethod
    def forward(  # noqa: PLR0917  autograd takes no keywords
        ctx: Any,
        x: torch.Tensor,
        added: torch.Tensor | None,
        norm_weight: torch.Tensor,
        eps: float,
        keeps_all: bool,
        *parameters: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows, inverse, total = norm_rows(x, norm_weight, eps, added)
        weight_OD = joined(parameters[::2], x.dtype)
        ctx.eps, ctx.has_added = eps, added is not None
        # Weights in the dtype of x are at hand anyway: they are put together again.
        kept = weight_OD if parameters[0].dtype != x.dtype else None
        kept_all = (rows, kept) if keeps_all else (None, None)
        ctx.save_for_backward(total, inverse, norm_weight, *parameters, *kept_all)
        bias_O = None if parameters[1] is None else joined(parameters[1::2], x.dtype)
        return total, product(rows, weight_OD, bias_O)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # type: ignore[bad-override]
        ctx: Any, d_total: torch.Tensor, gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        x, inverse, norm_weight, *rest = ctx.saved_tensors
        *parameters, rows, kept = rest
        rows = norm_rows(x, norm_weight, ctx.eps)[0] if rows is None else rows
        weight_OD = joined(parameters[::2], x.dtype) if kept is None else kept
        gradient_NO = gradient.reshape(-1, gradient.shape[-1])
        d_parameters = _parameter_gradients(
            gradient_NO, rows.reshape(-1, x.shape[-1]), parameters, ctx.needs_input_grad[5:]
        )
        del rows
        d_rows = (gradient_NO @ weight_OD).view(x.shape)
        d_x, d_norm_weight = norm_backward(d_rows, x, inverse, norm_weight, d_total)
        return d_x, d_x if ctx.has_added else None, d_norm_weight, None, None, *d_parameters


def _parameter_gradients(
    gradient_NO: torch.Tensor,
    rows_ND: torch.Tensor,
    parameters: Sequence[torch.Tensor | None],
    needed: Sequence[bool],
) -> list[torch.Tensor | None]:
    """Of each weight and bias in turn, parts of one tensor; None where none is ``needed``."""
    weights, biases = parameters[::2], parameters[1::2]
    sizes = [len(weight) for weight in weights if weight is not None]
    result: list[torch.Tensor | None] = [None] * len(parameters)
    if any(needed[::2]):
        assert weights[0] is not None
        result[::2] = weight_gradient(gradient_NO, rows_ND, weights[0]).split(sizes)
    if any(needed[1::2]):
        d_bias_O = bias_gradient(gradient_NO, biases[0])
        assert d_bias_O is not None
        result[1::2] = d_bias_O.split(sizes)
    return [gradient if needs else None for gradient, needs in zip(result, needed, strict=True)]
