"""Attention from projected queries, keys and values to heads' outputs, as one function: norms of heads, RoPE, softmax.

For backward it saves what the kernel reads (queries, keys and values) and gives (outputs, and a log-sum of
exponentials for each query and head). RoPE needs nothing: gradients are turned back. With norms of heads it saves
queries and keys as they were projected, and norms and turns them again; or it keeps both (``keeps_all``).

B batch, T tokens, H query heads, K key-value heads, S heads of both and of values, H + 2 K; Q head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from textmill.model import attention_kernels, kernels
from textmill.model.norm import RMSNorm, plain_norm, plain_norm_backward
from textmill.model.rope import Rotation, rotate
from textmill.model.segments import Piece, Segments

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


def self_attention(
    qkv_BTSQ: torch.Tensor,
    num_key_value_heads: int,
    *,
    norms: tuple[RMSNorm, RMSNorm] | None,
    by: Rotation | None,
    segments: Segments,
    window: int | None,
    keeps_all: bool,
) -> torch.Tensor:
    """Attend within each document, on a CPU; returns [B, T, H, Q].

    Args:
        qkv_BTSQ: queries, keys and values as they were projected, side by side.
        num_key_value_heads: K, how many of the heads are keys, and how many values.
        norms: of the heads of queries and of keys, before they are turned.
        by: the turn; None where the layer has none.
        segments: the documents of the batch.
        window: how many tokens a query sees of its document, itself included; None for all before it.
        keeps_all: whether turned queries and keys are saved and the projected ones, too.
    """
    weights = (None, None) if norms is None else (norms[0].weight, norms[1].weight)
    eps = 0.0 if norms is None else norms[0].eps
    o_BTHQ: torch.Tensor = _SelfAttention.apply(
        qkv_BTSQ, num_key_value_heads, *weights, eps, by, segments, window, keeps_all
    )
    return o_BTHQ


def split_heads(qkv_BTSQ: torch.Tensor, num_key_value_heads: int) -> tuple[torch.Tensor, ...]:
    """Queries [B, T, H, Q], keys and values [B, T, K, Q]: views."""
    num_queries = qkv_BTSQ.shape[2] - 2 * num_key_value_heads
    return qkv_BTSQ.split((num_queries, num_key_value_heads, num_key_value_heads), dim=2)


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


def plain_heads(
    x_BTHQ: torch.Tensor, weight_Q: torch.Tensor | None, eps: float, by: Rotation | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The twin of ``kernels.heads``."""
    inverse = None
    if weight_Q is not None:
        x_BTHQ, inverse, _ = plain_norm(x_BTHQ, weight_Q, eps)
    return (x_BTHQ if by is None else rotate(x_BTHQ, by)).contiguous(), inverse


def plain_heads_backward(
    gradient_BTHQ: torch.Tensor,
    x_BTHQ: torch.Tensor | None,
    inverse: torch.Tensor | None,
    weight_Q: torch.Tensor | None,
    *,
    by: Rotation | None,
    out_BTHQ: torch.Tensor,
) -> torch.Tensor | None:
    """The twin of ``kernels.heads_backward``."""
    if by is not None:
        gradient_BTHQ = rotate(gradient_BTHQ, by.inverse())
    d_weight_Q = None
    if weight_Q is not None:
        assert x_BTHQ is not None
        assert inverse is not None
        gradient_BTHQ, d_weight_Q = plain_norm_backward(gradient_BTHQ, x_BTHQ, inverse, weight_Q)
    out_BTHQ.copy_(gradient_BTHQ)
    return d_weight_Q


class _Heads(NamedTuple):
    """How queries, or keys, become what the kernel of attention reads."""

    weight: torch.Tensor | None
    eps: float
    by: Rotation | None

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Normed and turned heads, in memory of their own, and ``1 / rms`` of each."""
        if self.weight is None and self.by is None:
            return x.clone(memory_format=torch.contiguous_format), None
        return (kernels.heads if kernels.fit(x, self.weight) else plain_heads)(x, self.weight, self.eps, self.by)

    def backward(
        self, gradient: torch.Tensor, x: torch.Tensor | None, inverse: torch.Tensor | None
    ) -> torch.Tensor | None:
        """Gradient with respect to x, in its place; returns the weight's. Without a norm x itself is not read."""
        if self.weight is None and self.by is None:
            return None
        run = kernels.heads_backward if kernels.fit(gradient, self.weight) else plain_heads_backward
        return run(gradient, x, inverse, self.weight, by=self.by, out_BTHQ=gradient)


class _SelfAttention(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0917  autograd takes no keywords
        ctx: Any,
        qkv: torch.Tensor,
        num_key_value_heads: int,
        q_weight: torch.Tensor | None,
        k_weight: torch.Tensor | None,
        eps: float,
        by: Rotation | None,
        segments: Segments,
        window: int | None,
        keeps_all: bool,
    ) -> torch.Tensor:
        q, k, v = split_heads(qkv, num_key_value_heads)
        turned_q, q_inverse = _Heads(q_weight, eps, by).forward(q)
        turned_k, k_inverse = _Heads(k_weight, eps, by).forward(k)
        # What was projected is needed again for norms; without them its queries and keys are not, and values are
        # taken out of it.
        keeps_projected = keeps_all or q_weight is not None
        v = v if keeps_projected else v.clone(memory_format=torch.contiguous_format)
        o, lse = _attend(turned_q, turned_k, v, segments, window)
        ctx.num_key_value_heads, ctx.eps, ctx.by = num_key_value_heads, eps, by
        ctx.segments, ctx.window = segments, window
        kept = (qkv, None) if keeps_projected else (None, v)
        turned = (turned_q, turned_k) if keeps_all or q_weight is None else (None, None)
        ctx.save_for_backward(q_weight, k_weight, q_inverse, k_inverse, *kept, *turned, o, lse)
        return o

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[bad-override]
        q_weight, k_weight, q_inverse, k_inverse, qkv, v, turned_q, turned_k, o, lse = ctx.saved_tensors
        q_heads, k_heads = _Heads(q_weight, ctx.eps, ctx.by), _Heads(k_weight, ctx.eps, ctx.by)
        q = k = None
        if qkv is not None:
            q, k, v = split_heads(qkv, ctx.num_key_value_heads)
        if turned_q is None:
            assert q is not None
            assert k is not None
            (turned_q, _), (turned_k, _) = q_heads.forward(q), k_heads.forward(k)
        num_heads = turned_q.shape[2] + 2 * ctx.num_key_value_heads
        d_qkv = v.new_empty((*v.shape[:2], num_heads, v.shape[3]))
        d_q, d_k, d_v = split_heads(d_qkv, ctx.num_key_value_heads)
        _attend_backward(gradient, (turned_q, turned_k, v, o, lse), ctx.segments, ctx.window, (d_q, d_k, d_v))
        del turned_q, turned_k
        d_q_weight = q_heads.backward(d_q, q, q_inverse)
        d_k_weight = k_heads.backward(d_k, k, k_inverse)
        return d_qkv, None, d_q_weight, d_k_weight, None, None, None, None, None


def _attend(
    q_BTHQ: torch.Tensor, k_BTKQ: torch.Tensor, v_BTKQ: torch.Tensor, segments: Segments, window: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs [B, T, H, Q] and log-sums of exponentials [B, T, H], in f32 or f64."""
    if kernels.fit(q_BTHQ):
        return attention_kernels.attend(q_BTHQ, k_BTKQ, v_BTKQ, segments.starts_of(window))
    return attend_pieces(q_BTHQ, k_BTKQ, v_BTKQ, segments.pieces_of(window))


def _attend_backward(
    gradient_BTHQ: torch.Tensor,
    saved: Sequence[torch.Tensor],
    segments: Segments,
    window: int | None,
    results: Sequence[torch.Tensor],
) -> None:
    """Gradients with respect to queries, keys and values into ``results``, from what ``_attend`` took and gave."""
    if kernels.fit(gradient_BTHQ):
        attention_kernels.attend_backward(gradient_BTHQ, saved, segments.starts_of(window), results)
        return
    for result, d_x in zip(
        results, attend_pieces_backward(gradient_BTHQ, saved, segments.pieces_of(window)), strict=True
    ):
        result.copy_(d_x)


def attend_pieces(
    q_BTHQ: torch.Tensor, k_BTKQ: torch.Tensor, v_BTKQ: torch.Tensor, pieces: Sequence[Piece]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs [B, T, H, Q] and log-sums of exponentials [B, T, H], by torch's flash kernel: the twin of ours."""
    if len(pieces) == 1:
        return _attend_piece(q_BTHQ, k_BTKQ, v_BTKQ, pieces[0].mask)
    o_BTHQ = torch.empty_like(q_BTHQ, memory_format=torch.contiguous_format)
    lse_BTH = q_BTHQ.new_empty(q_BTHQ.shape[:3], dtype=torch.promote_types(q_BTHQ.dtype, torch.float32))
    for piece in pieces:
        at = piece.rows, piece.tokens
        o_BTHQ[at], lse_BTH[at] = _attend_piece(q_BTHQ[at], k_BTKQ[at], v_BTKQ[at], piece.mask)
    return o_BTHQ, lse_BTH


def attend_pieces_backward(
    gradient_BTHQ: torch.Tensor, saved: Sequence[torch.Tensor], pieces: Sequence[Piece]
) -> tuple[torch.Tensor, ...]:
    """Gradients with respect to queries, keys and values, from what ``attend_pieces`` took and gave: ``saved``."""
    inputs = (gradient_BTHQ, *saved)
    if len(pieces) == 1:
        return _attend_piece_backward(inputs, pieces[0].mask)
    results = tuple(torch.empty_like(x, memory_format=torch.contiguous_format) for x in saved[:3])
    for piece in pieces:
        at = piece.rows, piece.tokens
        for result, part in zip(results, _attend_piece_backward([x[at] for x in inputs], piece.mask), strict=True):
            result[at] = part
    return results


def _attend_piece(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    o, lse = _flash(*_heads_first(q, k, v), 0.0, mask is None, attn_mask=_broadcast(mask))
    return o.transpose(1, 2), lse.transpose(1, 2)


def _attend_piece_backward(inputs: Sequence[torch.Tensor], mask: torch.Tensor | None) -> tuple[torch.Tensor, ...]:
    """Take the gradient, queries, keys, values, outputs and log-sums."""
    gradients = _flash_backward(*_heads_first(*inputs), 0.0, mask is None, attn_mask=_broadcast(mask))
    return tuple(_heads_first(*gradients))


def _heads_first(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """[B, T, H, ...] to the kernel's [B, H, T, ...] and back."""
    return [tensor.transpose(1, 2) for tensor in tensors]


def _broadcast(mask: torch.Tensor | None) -> torch.Tensor | None:
    return None if mask is None else mask[None, None]
