"""The native kernels of training's attention (``cpp/training/attention.h``): causal, within documents and windows.

One call takes a whole batch. They run on torch's threads, sum in f32, and give the same bits for any number of
threads; ``kernels.fit`` says when they run. Their twin is torch's flash kernel, called for each ``Piece``
(``self_attention``).

B batch, T tokens, H query heads, K key-value heads, Q head size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from textmill import _core


def attend(
    q_BTHQ: torch.Tensor, k_BTKQ: torch.Tensor, v_BTKQ: torch.Tensor, starts_BT: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs [B, T, H, Q] and log-sums of exponentials of scores [B, T, H], f32, both contiguous.

    Args:
        q_BTHQ: queries, and k_BTKQ and v_BTKQ keys and values, all f32 or all bf16; they may be parts of other tensors.
        starts_BT: int32, as ``Segments.starts_of`` gives them.
    """
    q, k, v = (_with_dense_heads(x) for x in (q_BTHQ, k_BTKQ, v_BTKQ))
    o_BTHQ = torch.empty_like(q_BTHQ, memory_format=torch.contiguous_format)
    lse_BTH = q_BTHQ.new_empty(q_BTHQ.shape[:3], dtype=torch.float32)
    _core.training_attention(
        *_shape_and_starts(q, k, v, starts_BT),
        _address(q),
        _address(k),
        _address(v),
        _address(o_BTHQ),
        lse_BTH.data_ptr(),
        q_BTHQ.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return o_BTHQ, lse_BTH


def attend_backward(
    gradient_BTHQ: torch.Tensor,
    saved: Sequence[torch.Tensor],
    starts_BT: torch.Tensor | None,
    results: Sequence[torch.Tensor] | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients with respect to queries, keys and values.

    Args:
        gradient_BTHQ: with respect to outputs.
        saved: what ``attend`` took and gave: queries, keys, values, outputs, log-sums.
        starts_BT: as ``attend`` was given them.
        results: where the gradients go, their heads dense; None takes memory for them.
    """
    q, k, v, o, d_o = (_with_dense_heads(x) for x in (*saved[:4], gradient_BTHQ))
    if results is None:
        results = [torch.empty_like(x, memory_format=torch.contiguous_format) for x in (q, k, v)]
    d_q, d_k, d_v = results
    assert all(x.stride(-1) == 1 for x in results), "the values of a head lie side by side"
    assert saved[4].is_contiguous()
    _core.training_attention_backward(
        *_shape_and_starts(q, k, v, starts_BT),
        _address(q),
        _address(k),
        _address(v),
        _address(o),
        saved[4].data_ptr(),
        _address(d_o),
        _address(d_q),
        _address(d_k),
        _address(d_v),
        q.dtype == torch.bfloat16,
        torch.get_num_threads(),
    )
    return d_q, d_k, d_v


def _with_dense_heads(x: torch.Tensor) -> torch.Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _shape_and_starts(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, starts_BT: torch.Tensor | None
) -> tuple[tuple[int, int, int, int, int], float, int]:
    batch, num_tokens, num_heads, head_dim = q.shape
    num_key_value_heads = k.shape[2]
    assert k.shape == v.shape == (batch, num_tokens, num_key_value_heads, head_dim)
    assert num_heads % num_key_value_heads == 0
    assert q.dtype == k.dtype == v.dtype
    if starts_BT is not None:
        assert starts_BT.shape == (batch, num_tokens)
        assert starts_BT.dtype == torch.int32
        assert starts_BT.is_contiguous()
    shape = (batch, num_tokens, num_heads, num_key_value_heads, head_dim)
    return shape, head_dim**-0.5, 0 if starts_BT is None else starts_BT.data_ptr()


def _address(x: torch.Tensor) -> tuple[int, int, int, int]:
    row, token, head, _ = x.stride()
    return x.data_ptr(), row, token, head
