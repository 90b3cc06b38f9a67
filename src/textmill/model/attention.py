"""Grouped-query attention and its cache (arXiv:2305.13245), for which multi-head and multi-query are the two ends.

B batch, T new tokens, S tokens in all (cached and new), D width, H query heads, K key-value heads, Q head size.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig
from textmill.model.embedding import Embedding
from textmill.model.linear import Linear
from textmill.model.norm import RMSNorm
from textmill.model.rope import Rotation
from textmill.model.segments import Segments
from textmill.model.segments_cuda import attend_segments
from textmill.model.self_attention import self_attention, split_heads, turned_heads


class KVCache:
    """Keys and values of the tokens seen so far, for ``capacity`` tokens of each sequence of a batch.

    Both are [layers, B, K, capacity, Q] in ``dtype``, taken at once. Values are rounded to ``dtype`` when they are
    appended, those of the tokens at hand too, so that it does not matter how a text is cut into chunks.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        batch_size: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (config.num_hidden_layers, batch_size, config.num_key_value_heads, capacity, config.head_dim)
        self.keys = torch.empty(shape, dtype=dtype, device=device)
        self.values = torch.empty(shape, dtype=dtype, device=device)
        self.length = 0

    @property
    def capacity(self) -> int:
        """How many tokens a sequence may have in all."""
        return self.keys.shape[3]

    def require_room(self, num_tokens: int) -> None:
        """Raise ``ConfigError`` where ``num_tokens`` more do not fit."""
        if self.length + num_tokens > self.capacity:
            raise ConfigError(
                f"the KV cache holds {self.length} of {self.capacity} tokens, and {num_tokens} more do not fit; "
                "make it as long as the context"
            )

    def append(self, layer: int, k_BKTQ: torch.Tensor, v_BKTQ: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Store one layer's new keys and values; return all of that layer's, [B, K, S, Q], in the dtype given.

        ``length`` grows by ``advance``, once all layers have appended.
        """
        end = self.length + k_BKTQ.shape[2]
        self.keys[layer, :, :, self.length : end] = k_BKTQ
        self.values[layer, :, :, self.length : end] = v_BKTQ
        return self.keys[layer, :, :, :end].to(k_BKTQ.dtype), self.values[layer, :, :, :end].to(v_BKTQ.dtype)

    def advance(self, num_tokens: int) -> None:
        """Count the tokens that every layer has appended."""
        self.length += num_tokens


class Attention(nn.Module):
    """Causal self-attention of one layer; ``Block`` multiplies by its projections and adds its value embeddings."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        self.num_key_value_heads = config.num_key_value_heads
        query = config.num_attention_heads * config.head_dim
        key_value = config.num_key_value_heads * config.head_dim
        self.rotates = config.rotates(layer)
        self.window = config.window_of(layer)
        self.q_proj = Linear(config.hidden_size, query, bias=config.qkv_bias)
        self.k_proj = Linear(config.hidden_size, key_value, bias=config.qkv_bias)
        self.v_proj = Linear(config.hidden_size, key_value, bias=config.qkv_bias)
        self.value_embeddings = Embedding(config.vocab_size, key_value) if config.embeds_values(layer) else None
        self.q_norm = RMSNorm(config.head_dim, config.rms_norm_eps) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_dim, config.rms_norm_eps) if config.qk_norm else None
        self.o_proj = Linear(query, config.hidden_size, bias=config.o_bias)

    def forward(
        self,
        qkv_BTX: torch.Tensor,
        by: Rotation,
        segments: Segments,
        cache: KVCache | None,
        *,
        keeps_all: bool,
    ) -> torch.Tensor:
        """Attend from each token to itself and those before it that the layer sees.

        Args:
            qkv_BTX: queries, keys and values side by side, [B, T, (H + 2 K) * Q].
            by: the tokens' turns.
            segments: which of the new tokens are one document.
            cache: what stands before them, if anything may.
            keeps_all: what is saved for backward; see ``self_attention``.

        Returns:
            outputs of the heads, [B, T, H * Q].
        """
        qkv_BTSQ = qkv_BTX.unflatten(-1, (-1, self.head_dim))
        turn = by if self.rotates else None
        if cache is None and qkv_BTX.device.type == "cpu":
            norms = None if self.q_norm is None or self.k_norm is None else (self.q_norm, self.k_norm)
            o_BTHQ = self_attention(
                qkv_BTSQ,
                self.num_key_value_heads,
                norms=norms,
                by=turn,
                segments=segments,
                window=self.window,
                keeps_all=keeps_all,
            )
            return o_BTHQ.flatten(2)
        q_BTHQ, k_BTKQ, v_BTKQ = split_heads(qkv_BTSQ, self.num_key_value_heads)
        q_BTHQ, k_BTKQ = turned_heads(q_BTHQ, self.q_norm, turn), turned_heads(k_BTKQ, self.k_norm, turn)
        if cache is None:
            if not keeps_all and turn is not None and self.q_norm is None:
                # What the kernel saves is turned; a view of the values would keep what was projected, too.
                v_BTKQ = v_BTKQ.contiguous()
            return self.within_documents(q_BTHQ, k_BTKQ, v_BTKQ, segments).flatten(2)
        k_BKSQ, v_BKSQ = cache.append(self.layer, k_BTKQ.transpose(1, 2), v_BTKQ.transpose(1, 2))
        return attend(q_BTHQ.transpose(1, 2), k_BKSQ, v_BKSQ, self.window).transpose(1, 2).flatten(2)

    def within_documents(
        self, q_BTHQ: torch.Tensor, k_BTKQ: torch.Tensor, v_BTKQ: torch.Tensor, segments: Segments
    ) -> torch.Tensor:
        """See ``attend_segments``: what is not compiled with a block, which would be made anew for other documents."""
        return attend_segments(q_BTHQ, k_BTKQ, v_BTKQ, segments, self.window)


def with_added_values(qkv_BTX: torch.Tensor, added_BTY: torch.Tensor) -> torch.Tensor:
    """Add to the values, which are the last of queries, keys and values side by side; in their own dtype, in place."""
    qkv_BTX[..., -added_BTY.shape[-1] :].add_(added_BTY)
    return qkv_BTX


def attend(q_BHTQ: torch.Tensor, k_BKSQ: torch.Tensor, v_BKSQ: torch.Tensor, window: int | None = None) -> torch.Tensor:
    """Causal softmax(q k^T / sqrt(Q)) v, where the T queries are the last of the S tokens; returns [B, H, T, Q].

    With a ``window`` a query sees itself and the ``window - 1`` tokens before it; keys that none of the queries sees
    are not read.
    """
    num_new = q_BHTQ.shape[2]
    if window is not None:
        num_seen = window + num_new - 1
        k_BKSQ, v_BKSQ = k_BKSQ[:, :, -num_seen:], v_BKSQ[:, :, -num_seen:]
    num_all = k_BKSQ.shape[2]
    mask = None
    slides = window is not None and num_all > window
    if num_new > 1 and (slides or num_new < num_all):  # is_causal says it otherwise; a single token sees everything
        positions = torch.arange(num_all, device=q_BHTQ.device)
        ends = positions[num_all - num_new :, None]
        mask = positions <= ends
        if window is not None:
            mask &= positions > ends - window
    return functional.scaled_dot_product_attention(
        q_BHTQ,
        k_BKSQ,
        v_BKSQ,
        attn_mask=mask,
        is_causal=mask is None and num_new > 1,
        enable_gqa=q_BHTQ.shape[1] != k_BKSQ.shape[1],
    )
