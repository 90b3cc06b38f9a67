"""Attention by kernels that read the pages themselves, for all texts at once: ``torch.nn.attention.varlen``, on CUDA.

N texts, T new tokens of all of them, H query heads, K key-value heads, Q head size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import cast

import torch
from torch.nn import functional

from textmill.infer.runners.torch_attention import Attend
from textmill.infer.runners.torch_batch import Batch
from textmill.infer.runners.torch_pages import Pages

# Flash attention 2, which torch carries, takes pages of a multiple of so many tokens.
VARLEN_BLOCK_SIZE = 256
_HEAD_DIM_MAX = 256
_CAPABILITY_MIN = (8, 0)


class VarlenAttention:
    """Single tokens are one call, whose kernel splits long texts over the device; all other texts are another."""

    name = "varlen"
    short_max = 1

    def __init__(self, pages: Pages, varlen_attn: Callable[..., torch.Tensor] | None = None) -> None:
        """Take pages for which ``why_not_varlen`` has no reason; ``varlen_attn`` is torch's unless given."""
        if varlen_attn is None:
            from torch.nn.attention import varlen

            varlen_attn = cast("Callable[..., torch.Tensor]", varlen.varlen_attn)  # a pair only with return_aux
        self._pages = pages
        self._varlen_attn = varlen_attn

    def begin(self, batch: Batch) -> Attend:
        """Prepare what the layers of one forward pass share: each call's texts."""
        num_short, num_texts = batch.num_short, len(batch.num_new)
        ranges = [texts for texts in (range(num_short), range(num_short, num_texts)) if texts]
        calls = [_call(batch, texts) for texts in ranges]

        def attend_layer(layer: int, window: int | None, q_THQ: torch.Tensor) -> torch.Tensor:
            parts = [self._attend(layer, window, q_THQ[call.tokens], call) for call in calls]
            return torch.cat(parts) if len(parts) > 1 else parts[0]

        return attend_layer

    def _attend(self, layer: int, window: int | None, q_THQ: torch.Tensor, call: _Call) -> torch.Tensor:
        return self._varlen_attn(
            q_THQ,
            self._pages.keys[layer],
            self._pages.values[layer],
            call.ends,
            call.key_ends,
            call.max_new,
            call.max_all,
            window_size=_window_size(window, is_single=call.max_new == 1),
            enable_gqa=True,
            seqused_k=call.lengths,
            block_table=call.table,
        )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Call:
    """Texts that are computed by one call, as ``Batch`` has them; ``key_ends`` are sums of their lengths."""

    tokens: slice
    ends: torch.Tensor
    key_ends: torch.Tensor
    lengths: torch.Tensor
    table: torch.Tensor
    max_new: int
    max_all: int


def _call(batch: Batch, texts: range) -> _Call:
    first, last = texts.start, texts.stop
    first_token = sum(batch.num_new[:first])
    lengths = batch.lengths[first:last]
    return _Call(
        tokens=slice(first_token, first_token + sum(batch.num_new[first:last])),
        ends=batch.ends[first : last + 1] - first_token,
        key_ends=functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0)),
        lengths=lengths,
        table=batch.table[first:last],
        max_new=max(batch.num_new[first:last]),
        max_all=max(batch.num_all[first:last]),
    )


def _window_size(window: int | None, *, is_single: bool) -> tuple[int, int]:
    """How many tokens before and after its own each sees, -1 for all.

    A single new token is the last of its text. Only where neither side is bounded does the kernel take query heads
    that share keys together.
    """
    if window is not None:
        return window - 1, 0
    return (-1, -1) if is_single else (-1, 0)


def why_not_varlen(
    device: torch.device, *, weights_dtype: torch.dtype, kv_dtype: torch.dtype, head_dim: int
) -> str | None:
    """Return why a model cannot attend so on a device, as part of a sentence, or None where it can."""
    if device.type != "cuda":
        return f"{device.type} is no CUDA device"
    if weights_dtype not in (torch.float16, torch.bfloat16) or kv_dtype != weights_dtype:
        return (
            f"weights are in {weights_dtype} and keys and values in {kv_dtype}, which must be the same 16 bits; "
            "take bf16 for both (weights bf16, kv bf16)"
        )
    if head_dim % 8 or head_dim > _HEAD_DIM_MAX:
        return f"head_dim is {head_dim}, which must be a multiple of 8 up to {_HEAD_DIM_MAX}"
    if torch.cuda.get_device_capability(device) < _CAPABILITY_MIN:
        return f"{torch.cuda.get_device_name(device)} is older than compute capability 8.0"
    return _why_it_fails(device, weights_dtype, head_dim)


def _why_it_fails(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """Attend once, from one token to two on a page: builds of torch differ in what they were compiled with."""
    try:
        from torch.nn.attention.varlen import varlen_attn

        pages = torch.zeros((1, VARLEN_BLOCK_SIZE, 1, head_dim), dtype=dtype, device=device)
        ends = torch.tensor([0, 1], dtype=torch.int32, device=device)
        varlen_attn(
            pages[0, :1].expand(1, 2, head_dim).contiguous(),
            pages,
            pages,
            ends,
            ends * 2,
            1,
            VARLEN_BLOCK_SIZE,
            enable_gqa=True,
            seqused_k=ends[1:] * 2,
            block_table=torch.zeros((1, 1), dtype=torch.int32, device=device),
        )
        torch.cuda.synchronize(device)
    except (ImportError, RuntimeError, TypeError, ValueError) as error:
        return f"torch {torch.__version__} refuses it here ({str(error).splitlines()[0]})"
    return None
