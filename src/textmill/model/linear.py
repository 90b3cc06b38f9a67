"""A matrix product, with a bias where the model has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional


class Linear(nn.Module):
    """``x W^T + b`` with W [out, in]; both follow the dtype of x, so f32 weights train through bf16 products.

    The parameters are left empty: ``init_weights`` or a checkpoint fills them, and making a model draws from no global
    random state.

    Attributes:
        adapter: what is learned in the place of ``weight``, where that is frozen (``adapted.Adapter``); None otherwise.
    """

    def __init__(self, num_in: int, num_out: int, *, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_out, num_in))
        self.bias = nn.Parameter(torch.empty(num_out)) if bias else None
        self.adapter: nn.Module | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply the last axis: [..., in] to [..., out]."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return functional.linear(x, self.weight.to(x.dtype), bias)


def linear(x: torch.Tensor, layer: Linear, *, keeps_all: bool) -> torch.Tensor:
    """Multiply as ``layer`` does, saving ``x`` alone for backward; ``keeps_all`` keeps a cast of the weight, too."""
    if layer.adapter is not None:
        from textmill.model.adapted import adapted_linear  # which builds on this file

        return adapted_linear(x, layer)
    product: torch.Tensor = _Linear.apply(x, layer.weight, layer.bias, keeps_all)
    return product


def product(x_NI: torch.Tensor, cast_OI: torch.Tensor, bias_O: torch.Tensor | None) -> torch.Tensor:
    """``x W^T + b`` of rows [N, in], the weight being in their dtype already."""
    return functional.linear(x_NI, cast_OI, None if bias_O is None else bias_O.to(x_NI.dtype))


def joined(parts: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
    """Weights [out, in] or biases [out] as one, the first above, cast to ``dtype``."""
    whole = parts[0].new_empty((sum(map(len, parts)), *parts[0].shape[1:]), dtype=dtype)
    for place, part in zip(whole.split([len(part) for part in parts]), parts, strict=True):
        place.copy_(part)
    return whole


def weight_gradient(gradient_NO: torch.Tensor, x_NI: torch.Tensor, weight_OI: torch.Tensor) -> torch.Tensor:
    """Gradient of the weight [out, in]: multiplied in the dtype of the rows, and returned in the weight's."""
    return (gradient_NO.t() @ x_NI).to(weight_OI.dtype)


def bias_gradient(gradient_NO: torch.Tensor, bias_O: torch.Tensor | None) -> torch.Tensor | None:
    """Gradient of the bias [out], if there is one."""
    return None if bias_O is None else gradient_NO.sum(0).to(bias_O.dtype)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, keeps_all: bool
    ) -> torch.Tensor:
        cast = weight.to(x.dtype)
        ctx.save_for_backward(x, weight, bias, cast if keeps_all else None)
        return product(x, cast, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        x, weight, bias, cast = ctx.saved_tensors
        cast = weight.to(x.dtype) if cast is None else cast
        gradient_NO = gradient.reshape(-1, weight.shape[0])
        x_gradient = (gradient_NO @ cast).view(x.shape) if ctx.needs_input_grad[0] else None
        x_NI = x.reshape(-1, weight.shape[1])
        d_weight = weight_gradient(gradient_NO, x_NI, weight) if ctx.needs_input_grad[1] else None
        return x_gradient, d_weight, bias_gradient(gradient_NO, bias), None
