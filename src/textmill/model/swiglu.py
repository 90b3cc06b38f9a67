"""SwiGLU's product and the projection down, ``(silu(gate) * up) W^T``, as one function (arXiv:2002.05202 §2).

For backward it saves gate and up, and multiplies them again; or it keeps the product, too (``keeps_all``).
N rows, F feed-forward, D width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from textmill.model import kernels
from textmill.model.linear import Linear, bias_gradient, product, weight_gradient


def swiglu_down(gate_up_BTF: torch.Tensor, down: Linear, *, keeps_all: bool) -> torch.Tensor:
    """Return ``down(silu(gate) * up)``: gate and up side by side, [B, T, 2 F], to [B, T, D]."""
    if down.adapter is not None:
        from textmill.model.adapted import adapted_swiglu_down  # which builds on this file

        return adapted_swiglu_down(gate_up_BTF, down, keeps_all=keeps_all)
    x_BTD: torch.Tensor = _SwigluDown.apply(gate_up_BTF, down.weight, down.bias, keeps_all)
    return x_BTD


def plain_swiglu(gate_BTF: torch.Tensor, up_BTF: torch.Tensor) -> torch.Tensor:
    """The twin of ``kernels.swiglu``."""
    return functional.silu(gate_BTF).mul_(up_BTF)


def plain_swiglu_backward(
    gradient_BTF: torch.Tensor, gate_BTF: torch.Tensor, up_BTF: torch.Tensor, *, again: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """The twin of ``kernels.swiglu_backward``."""
    activated = functional.silu(gate_BTF)
    d_gate = torch.ops.aten.silu_backward(gradient_BTF * up_BTF, gate_BTF)
    d_both = torch.cat((d_gate, gradient_BTF * activated), dim=-1)
    return d_both, activated.mul_(up_BTF) if again else gradient_BTF


class _SwigluDown(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, gate_up: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, keeps_all: bool
    ) -> torch.Tensor:
        gated = (kernels.swiglu if kernels.fit(gate_up) else plain_swiglu)(*gate_up.chunk(2, dim=-1))
        cast = weight.to(gate_up.dtype)
        ctx.save_for_backward(gate_up, weight, bias, *((gated, cast) if keeps_all else (None, None)))
        return product(gated, cast, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        gate_up, weight, bias, gated, cast = ctx.saved_tensors
        width, inner = weight.shape
        gradient_ND = gradient.reshape(-1, width)
        d_gated = (gradient_ND @ (weight.to(gate_up.dtype) if cast is None else cast)).view(*gradient.shape[:-1], inner)
        run = kernels.swiglu_backward if kernels.fit(gate_up) else plain_swiglu_backward
        d_gate_up, again = run(d_gated, *gate_up.chunk(2, dim=-1), again=gated is None)
        gated = again if gated is None else gated
        del d_gated, again
        d_weight = None
        if ctx.needs_input_grad[1]:
            d_weight = weight_gradient(gradient_ND, gated.reshape(-1, inner), weight)
        return d_gate_up, d_weight, bias_gradient(gradient_ND, bias), None
