"""What blocks save of their activations for backward, and what they make again there (arXiv:2302.13971 §2.4).

========= =======================================================================================================
none      everything that a gradient needs
llama     outputs of matrix products and of attention; norms, RoPE and SwiGLU's product are made again, and no
          matrix product is
full      what goes into a block, which runs once more
========= =======================================================================================================

The same functions run in all of them, so gradients are equal bit for bit. ``activation_bytes`` tells what each holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from textmill.model.attention import KVCache
    from textmill.model.llama import Block
    from textmill.model.rope import Rotation
    from textmill.model.segments import Segments

Remat = Literal["none", "llama", "full"]


def through(
    block: Block,
    x_BTD: torch.Tensor,
    ids_BT: torch.Tensor,
    by: Rotation,
    segments: Segments,
    *,
    cache: KVCache | None,
    remat: Remat,
) -> torch.Tensor:
    """Send the stream [B, T, D] of the tokens ``ids_BT`` through a block that saves what ``remat`` says."""
    if remat != "full" or cache is not None or not torch.is_grad_enabled():
        result: torch.Tensor = block.once(x_BTD, ids_BT, by, segments, cache, keeps_all=remat != "llama")
    else:
        result = _Twice.apply(x_BTD, ids_BT, block, by, segments, *block.parameters())
    return result


class _Twice(torch.autograd.Function):
    """A block that saves its input alone, and runs again when its gradients are wanted.

    Its parameters are arguments, or autograd would not know that they have gradients.
    """

    @staticmethod
    def forward(  # noqa: PLR0917  autograd takes no keywords
        ctx: Any,
        x: torch.Tensor,
        ids: torch.Tensor,
        block: Block,
        by: Rotation,
        segments: Segments,
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        ctx.block, ctx.by, ctx.segments = block, by, segments
        ctx.save_for_backward(x, ids, *parameters)
        result: torch.Tensor = block.once(x, ids, by, segments, None, keeps_all=False)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        x, ids, *parameters = ctx.saved_tensors
        with torch.enable_grad():
            x = x.detach().requires_grad_(ctx.needs_input_grad[0])
            again = ctx.block.once(x, ids, ctx.by, ctx.segments, None, keeps_all=True)
        wanted = [tensor for tensor in (x, *parameters) if tensor.requires_grad]
        gradients = iter(torch.autograd.grad(again, wanted, gradient))
        d_x, *d_parameters = (next(gradients) if tensor.requires_grad else None for tensor in (x, *parameters))
        return d_x, None, None, None, None, *d_parameters
