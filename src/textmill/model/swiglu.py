"""SwiGLU's product and the projection down, ``(silu(gate) * up) W^T``, as one function (arXiv:2002.05202 §2).

For backward it saves gate and up, and multiplies them again; or it keeps ``silu(gate)`` and the product, too
(``keeps_all``). N rows, F feed-forward, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from textmill.model.linear import Linear, bias_gradient, product, weight_gradient


def swiglu_down(gate_BTF: torch.Tensor, up_BTF: torch.Tensor, down: Linear, *, keeps_all: bool) -> torch.Tensor:
    """Return ``down(silu(gate) * up)``: two [B, T, F] to [B, T, D]."""
    x_BTD: torch.Tensor = _SwigluDown.apply(gate_BTF, up_BTF, down.weight, down.bias, keeps_all)
    return x_BTD


class _SwigluDown(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917  autograd takes no keywords
        ctx: Any, gate: torch.Tensor, up: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, keeps_all: bool
    ) -> torch.Tensor:
        activated = functional.silu(gate)
        gated = activated * up if keeps_all else activated.mul_(up)
        cast = weight.to(gate.dtype)
        ctx.keeps_all = keeps_all
        ctx.save_for_backward(gate, up, weight, bias, *((activated, gated, cast) if keeps_all else ()))
        return product(gated, cast, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        gate, up, weight, bias, *kept = ctx.saved_tensors
        if ctx.keeps_all:
            activated, gated, cast = kept
        else:
            activated = functional.silu(gate)
            gated = activated * up
            cast = weight.to(gate.dtype)
        width, inner = weight.shape
        gradient_ND = gradient.reshape(-1, width)
        d_weight = None
        if ctx.needs_input_grad[2]:
            d_weight = weight_gradient(gradient_ND, gated.reshape(-1, inner), weight)
        del gated
        d_gated = (gradient_ND @ cast).view(gate.shape)
        d_up = d_gated * activated
        del activated
        d_gate = torch.ops.aten.silu_backward(d_gated.mul_(up), gate)
        return d_gate, d_up, d_weight, bias_gradient(gradient_ND, bias), None
