"""Nats of each token by itself, for losses that weigh tokens by what all of them come to: DPO's, GRPO's.

``loss.summed_nats`` makes its gradient on the way forward, since every token weighs the same. Here a token's weight is
known only after all nats are, so backward multiplies by the head once more; logits are never all there either.

N rows (tokens), D width, V vocabulary, C rows of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from textmill.model.activation_bytes import CHUNK_ROWS_ON_GPU, chunk_rows
from textmill.model.loss import HeadGradient, add_up_logits


def token_nats(
    x_ND: torch.Tensor,
    weight_VD: torch.Tensor,
    targets_N: torch.Tensor,
    adapter: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """``-log p(target)`` of each row, f32 [N] (f64 where the states are), differentiable once.

    Args:
        x_ND: hidden states; products are in their dtype, the softmax in f32 or f64.
        weight_VD: the head.
        targets_N: integer ids, each of them a target.
        adapter: of the head, as ``Llama.head_adapter`` gives it.
    """
    result: torch.Tensor = _TokenNats.apply(targets_N, x_ND, weight_VD, *(adapter or ()))
    return result


class _TokenNats(torch.autograd.Function):
    """Of logits that are the sum of products: ``terms`` are rows [N, K] and a matrix [V, K] of each in turn."""

    @staticmethod
    def forward(ctx: Any, targets_N: torch.Tensor, *terms: torch.Tensor) -> torch.Tensor:
        x_ND, weight_VD = terms[:2]
        casts = [weight.to(x_ND.dtype) for weight in terms[1::2]]
        nats_N = x_ND.new_empty(len(x_ND), dtype=_softmax_dtype(x_ND))
        for chunk in _chunks(x_ND, weight_VD):
            log_p_CV = _log_softmax([rows[chunk] for rows in terms[::2]], casts)
            nats_N[chunk] = -log_p_CV.gather(1, targets_N[chunk, None]).squeeze(1)
            del log_p_CV  # or the next chunk's would lie beside it
        ctx.save_for_backward(targets_N, *terms)
        return nats_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, d_nats_N: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        targets_N, *terms = ctx.saved_tensors
        rows_of, weights, needs = terms[::2], terms[1::2], ctx.needs_input_grad[1:]
        dtype = rows_of[0].dtype
        casts = [weight.to(dtype) for weight in weights]
        d_rows = [torch.empty_like(rows) if need else None for rows, need in zip(rows_of, needs[::2], strict=True)]
        d_weights = [
            HeadGradient(w, c) if need else None for w, c, need in zip(weights, casts, needs[1::2], strict=True)
        ]
        for chunk in _chunks(rows_of[0], weights[0]):
            d_logits_CV = _log_softmax([rows[chunk] for rows in rows_of], casts).exp_()
            d_logits_CV.scatter_add_(1, targets_N[chunk, None], d_logits_CV.new_full((len(d_logits_CV), 1), -1.0))
            d_logits_CV = d_logits_CV.mul_(d_nats_N[chunk, None]).to(dtype)
            for rows, cast, d_x, d_weight in zip(rows_of, casts, d_rows, d_weights, strict=True):
                if d_x is not None:
                    torch.mm(d_logits_CV, cast, out=d_x[chunk])
                if d_weight is not None:
                    d_weight.add(d_logits_CV, rows[chunk])
            del d_logits_CV
        d_all = [None if one is None else one.total for one in d_weights]
        return None, *(gradient for pair in zip(d_rows, d_all, strict=True) for gradient in pair)


def _chunks(x_ND: torch.Tensor, weight_VD: torch.Tensor) -> list[slice]:
    rows = max(1, min(len(x_ND), CHUNK_ROWS_ON_GPU if x_ND.is_cuda else chunk_rows(len(weight_VD))))
    return [slice(start, start + rows) for start in range(0, len(x_ND), rows)]


def _log_softmax(rows: Sequence[torch.Tensor], casts: Sequence[torch.Tensor]) -> torch.Tensor:
    logits_CV = rows[0].new_empty((len(rows[0]), len(casts[0])))
    add_up_logits(rows, casts, out=logits_CV)
    return torch.log_softmax(logits_CV, dim=-1, dtype=_softmax_dtype(logits_CV))


def _softmax_dtype(x: torch.Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
