"""Nats of each token by itself, for losses that weigh tokens by what all of them come to: DPO's, GRPO's.

``loss.summed_nats`` makes its gradient on the way forward, since every token weighs the same. Here a token's weight is
known only after all nats are, so backward multiplies by the head once more; logits are never all there either.

N rows (tokens), D width, V vocabulary, C rows of a chunk.
"""

from __future__ import annotations

from typing import Any

import torch

from textmill.model.activation_bytes import CHUNK_ROWS_ON_GPU, chunk_rows
from textmill.model.loss import add_product


def token_nats(x_ND: torch.Tensor, weight_VD: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    """``-log p(target)`` of each row, f32 [N] (f64 where the states are), differentiable once.

    Args:
        x_ND: hidden states; products are in their dtype, the softmax in f32 or f64.
        weight_VD: the head.
        targets_N: integer ids, each of them a target.
    """
    result: torch.Tensor = _TokenNats.apply(x_ND, weight_VD, targets_N)
    return result


class _TokenNats(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: torch.Tensor, weight_VD: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
        cast_VD = weight_VD.to(x_ND.dtype)
        nats_N = x_ND.new_empty(len(x_ND), dtype=_softmax_dtype(x_ND))
        for chunk in _chunks(x_ND, weight_VD):
            log_p_CV = _log_softmax(x_ND[chunk], cast_VD)
            nats_N[chunk] = -log_p_CV.gather(1, targets_N[chunk, None]).squeeze(1)
            del log_p_CV  # or the next chunk's would lie beside it
        ctx.save_for_backward(x_ND, weight_VD, targets_N)
        return nats_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_nats_N: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        x_ND, weight_VD, targets_N = ctx.saved_tensors
        needs_x, needs_weight, _ = ctx.needs_input_grad
        cast_VD = weight_VD.to(x_ND.dtype)
        d_x_ND = torch.empty_like(x_ND) if needs_x else None
        d_weight_VD = torch.zeros_like(weight_VD) if needs_weight else None
        product_VD = torch.empty_like(cast_VD) if needs_weight and weight_VD.dtype != x_ND.dtype else None
        for chunk in _chunks(x_ND, weight_VD):
            d_logits_CV = _log_softmax(x_ND[chunk], cast_VD).exp_()
            d_logits_CV.scatter_add_(1, targets_N[chunk, None], d_logits_CV.new_full((len(d_logits_CV), 1), -1.0))
            d_logits_CV = d_logits_CV.mul_(d_nats_N[chunk, None]).to(x_ND.dtype)
            if d_x_ND is not None:
                torch.mm(d_logits_CV, cast_VD, out=d_x_ND[chunk])
            if d_weight_VD is not None:
                add_product(d_weight_VD, d_logits_CV.t(), x_ND[chunk], product_VD)
            del d_logits_CV
        return d_x_ND, d_weight_VD, None


def _chunks(x_ND: torch.Tensor, weight_VD: torch.Tensor) -> list[slice]:
    rows = max(1, min(len(x_ND), CHUNK_ROWS_ON_GPU if x_ND.is_cuda else chunk_rows(len(weight_VD))))
    return [slice(start, start + rows) for start in range(0, len(x_ND), rows)]


def _log_softmax(x_CD: torch.Tensor, cast_VD: torch.Tensor) -> torch.Tensor:
    return torch.log_softmax(x_CD @ cast_VD.t(), dim=-1, dtype=_softmax_dtype(x_CD))


def _softmax_dtype(x: torch.Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
