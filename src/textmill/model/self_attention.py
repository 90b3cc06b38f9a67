"""Attention from projected queries, keys and values to heads' outputs, as one function: norms of heads, RoPE, softmax.

For backward it saves what the kernel reads (queries, keys and values) and gives (outputs, and a log-sum of
exponentials for each query and head). RoPE needs nothing: gradients are turned back. With norms of heads it saves
queries and keys as they were projected, and norms and turns them again; or it keeps the turned ones, too
(``keeps_all``).

B batch, T tokens, H query heads, K key-value heads, Q head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from textmill.model.norm import RMSNorm, inverse_rms, norm_gradients, normed
from textmill.model.rope import Rotation, rotate
from textmill.model.segments import Piece

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def self_attention(
    q_BTHQ: torch.Tensor,
    k_BTKQ: torch.Tensor,
    v_BTKQ: torch.Tensor,
    *,
    norms: tuple[RMSNorm, RMSNorm] | None,
    by: Rotation | None,
    pieces: Sequence[Piece],
    keeps_all: bool,
) -> torch.Tensor:
    """Attend within each piece, on a CPU; returns [B, T, H, Q].

    Args:
        q_BTHQ: queries as they were projected, and k_BTKQ and v_BTKQ the keys and values.
        norms: of the heads of queries and of keys, before they are turned.
        by: the turn; None where the layer has none.
        pieces: which tokens attend to which; together they cover the batch.
        keeps_all: whether normed and turned queries and keys are saved beside the projected ones.
    """
    weights = (None, None) if norms is None else (norms[0].weight, norms[1].weight)
    eps = 0.0 if norms is None else norms[0].eps
    o_BTHQ: torch.Tensor = _SelfAttention.apply(q_BTHQ, k_BTKQ, v_BTKQ, *weights, eps, by, pieces, keeps_all)
    return o_BTHQ


def turned_heads(x_BTHQ: torch.Tensor, norm: RMSNorm | None, by: Rotation | None) -> torch.Tensor:
    """Norm and turn queries or keys, each where the layer does; autograd sees through it."""
    x_BTHQ = x_BTHQ if norm is None else norm(x_BTHQ)
    turned: torch.Tensor = x_BTHQ if by is None else _Rotate.apply(x_BTHQ, by)
    return turned


class _Rotate(torch.autograd.Function):
    """Saves nothing but what all layers share."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, by: Rotation) -> torch.Tensor:
        ctx.by = by
        return rotate(x, by)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        return rotate(gradient, ctx.by.inverse()), None


class _Heads(NamedTuple):
    """How queries, or keys, become what the kernel reads."""

    weight: torch.Tensor | None
    eps: float
    by: Rotation | None

    def inverse_rms(self, x: torch.Tensor) -> torch.Tensor | None:
        return None if self.weight is None else inverse_rms(x, self.eps)

    def forward(self, x: torch.Tensor, inverse: torch.Tensor | None) -> torch.Tensor:
        if self.weight is not None:
            assert inverse is not None
            x = normed(x, inverse, self.weight)
        return x if self.by is None else rotate(x, self.by)

    def backward(
        self, gradient: torch.Tensor, x: torch.Tensor, inverse: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Gradients with respect to x and the norm's weight; without a norm x itself is not read."""
        if self.by is not None:
            gradient = rotate(gradient, self.by.inverse())
        if self.weight is None:
            return gradient, None
        assert inverse is not None
        return norm_gradients(gradient, x, inverse, self.weight)


class _SelfAttention(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917  autograd takes no keywords
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        q_weight: torch.Tensor | None,
        k_weight: torch.Tensor | None,
        eps: float,
        by: Rotation | None,
        pieces: Sequence[Piece],
        keeps_all: bool,
    ) -> torch.Tensor:
        q_heads, k_heads = _Heads(q_weight, eps, by), _Heads(k_weight, eps, by)
        q_inverse, k_inverse = q_heads.inverse_rms(q), k_heads.inverse_rms(k)
        turned_q, turned_k = q_heads.forward(q, q_inverse), k_heads.forward(k, k_inverse)
        o, lse = attend_pieces(turned_q, turned_k, v, pieces)
        has_norms = q_weight is not None
        ctx.eps, ctx.by, ctx.pieces = eps, by, pieces
        projected = (q, k, q_inverse, k_inverse) if has_norms else (None, None, None, None)
        turned = (turned_q, turned_k) if keeps_all or not has_norms else (None, None)
        ctx.save_for_backward(q_weight, k_weight, *projected, *turned, v, o, lse)
        return o

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        q_weight, k_weight, q, k, q_inverse, k_inverse, turned_q, turned_k, v, o, lse = ctx.saved_tensors
        q_heads, k_heads = _Heads(q_weight, ctx.eps, ctx.by), _Heads(k_weight, ctx.eps, ctx.by)
        if turned_q is None:
            turned_q, turned_k = q_heads.forward(q, q_inverse), k_heads.forward(k, k_inverse)
        d_q, d_k, d_v = attend_pieces_backward(gradient, (turned_q, turned_k, v, o, lse), ctx.pieces)
        del turned_q, turned_k
        d_q, d_q_weight = q_heads.backward(d_q, q, q_inverse)
        d_k, d_k_weight = k_heads.backward(d_k, k, k_inverse)
        return d_q, d_k, d_v, d_q_weight, d_k_weight, None, None, None, None


def attend_pieces(
    q_BTHQ: torch.Tensor, k_BTKQ: torch.Tensor, v_BTKQ: torch.Tensor, pieces: Sequence[Piece]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs [B, T, H, Q] and log-sums of exponentials [B, T, H], in f32 or f64, by the CPU's flash kernel."""
    if len(pieces) == 1:
        return _attend(q_BTHQ, k_BTKQ, v_BTKQ, pieces[0].mask)
    o_BTHQ = torch.empty_like(q_BTHQ, memory_format=torch.contiguous_format)
    lse_BTH = q_BTHQ.new_empty(q_BTHQ.shape[:3], dtype=torch.promote_types(q_BTHQ.dtype, torch.float32))
    for piece in pieces:
        at = piece.rows, piece.tokens
        o_BTHQ[at], lse_BTH[at] = _attend(q_BTHQ[at], k_BTKQ[at], v_BTKQ[at], piece.mask)
    return o_BTHQ, lse_BTH


def attend_pieces_backward(
    gradient_BTHQ: torch.Tensor, saved: Sequence[torch.Tensor], pieces: Sequence[Piece]
) -> tuple[torch.Tensor, ...]:
    """Gradients with respect to queries, keys and values, from what ``attend_pieces`` took and gave: ``saved``."""
    inputs = (gradient_BTHQ, *saved)
    if len(pieces) == 1:
        return _attend_backward(inputs, pieces[0].mask)
    results = tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in saved[:3])
    for piece in pieces:
        at = piece.rows, piece.tokens
        for result, part in zip(results, _attend_backward([x[at] for x in inputs], piece.mask), strict=True):
            result[at] = part
    return results


def _attend(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    o, lse = _flash(*_heads_first(q, k, v), 0.0, mask is None, attn_mask=_broadcast(mask))
    return o.transpose(1, 2), lse.transpose(1, 2)


def _attend_backward(inputs: Sequence[torch.Tensor], mask: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    """Take the gradient, queries, keys, values, outputs and log-sums."""
    gradients = _flash_backward(*_heads_first(*inputs), 0.0, mask is None, attn_mask=_broadcast(mask))
    return tuple(_heads_first(*gradients))


def _heads_first(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """[B, T, H, ...] to the kernel's [B, H, T, ...] and back."""
    return [tensor.transpose(1, 2) for tensor in tensors]


def _broadcast(mask: torch.Tensor | None) -> torch.Tensor | None:
    return None if mask is None else mask[None, None]
