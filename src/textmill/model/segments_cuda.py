"""Attention within documents where autograd's own kernels do it: on CUDA, and on any device but a CPU.

B rows, T tokens of a row, N tokens of all rows, H query heads, K key-value heads, Q head size.
"""

from __future__ import annotations

import functools

import torch
from torch.nn import functional

from textmill.model.segments import Segments

_HEAD_DIM_MAX = 256
_CAPABILITY_MIN = (8, 0)


def attend_segments(
    q_BTHQ: torch.Tensor, k_BTKQ: torch.Tensor, v_BTKQ: torch.Tensor, segments: Segments, window: int | None
) -> torch.Tensor:
    """Attend causally within each document; returns [B, T, H, Q].

    Documents go through ``torch.nn.attention.varlen``, which reads no more than each; where it cannot run, through a
    mask of all pairs of a row.
    """
    if segments.numbers is not None and can_use_varlen(q_BTHQ.device, q_BTHQ.dtype, q_BTHQ.shape[-1]):
        return _varlen(q_BTHQ, k_BTKQ, v_BTKQ, segments, window)
    mask = visible(segments, window, q_BTHQ.device)
    o_BHTQ = functional.scaled_dot_product_attention(
        q_BTHQ.transpose(1, 2),
        k_BTKQ.transpose(1, 2),
        v_BTKQ.transpose(1, 2),
        attn_mask=mask,
        is_causal=mask is None,
        enable_gqa=q_BTHQ.shape[2] != k_BTKQ.shape[2],
    )
    return o_BHTQ.transpose(1, 2)


def visible(segments: Segments, window: int | None, device: torch.device) -> torch.Tensor | None:
    """Which tokens see which, [T, T] or [B, 1, T, T], True where they do; None where causal attention says it."""
    num_tokens = segments.shape[1]
    if segments.numbers is None and (window is None or window >= num_tokens):
        return None
    positions = torch.arange(num_tokens, device=device)
    mask = positions <= positions[:, None]
    if window is not None:
        mask = mask & (positions > positions[:, None] - window)
    if segments.numbers is None:
        return mask
    numbers_BT = segments.numbers.to(device)
    return mask & (numbers_BT[:, None, :, None] == numbers_BT[:, None, None, :])


def _varlen(
    q_BTHQ: torch.Tensor,
    k_BTKQ: torch.Tensor,
    v_BTKQ: torch.Tensor,
    segments: Segments,
    window: int | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    ends, longest = segments.ends_of_documents()
    o_NHQ = varlen_attn(
        q_BTHQ.flatten(0, 1),
        k_BTKQ.flatten(0, 1),
        v_BTKQ.flatten(0, 1),
        ends,
        ends,
        longest,
        longest,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=q_BTHQ.shape[2] != k_BTKQ.shape[2],
    )
    assert isinstance(o_NHQ, torch.Tensor)
    return o_NHQ.view(q_BTHQ.shape)


@functools.lru_cache
def can_use_varlen(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Say whether ``varlen`` takes heads of these sizes: 16 bits, on a CUDA device of capability 8.0 or later."""
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return False
    if head_dim % 8 or head_dim > _HEAD_DIM_MAX or torch.cuda.get_device_capability(device) < _CAPABILITY_MIN:
        return False
    try:
        x_NHQ = torch.zeros((1, 1, head_dim), dtype=dtype, device=device)
        ends = torch.tensor([0, 1], dtype=torch.int32, device=device)
        from torch.nn.attention.varlen import varlen_attn

        varlen_attn(x_NHQ, x_NHQ, x_NHQ, ends, ends, 1, 1, window_size=(-1, 0))
    except (ImportError, RuntimeError, NotImplementedError):  # builds differ in what they were compiled with
        return False
    return True
