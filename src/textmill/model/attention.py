"""Grouped-query attention and its cache (arXiv:2305.13245), for which multi-head and multi-query are the two ends.

B batch, T new tokens, S tokens in all (cached and new), D width, H query heads, K key-value heads, Q head size.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig
from textmill.model.linear import Linear
from textmill.model.rope import Rotation, rotate


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
    """Causal self-attention of one layer."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.head_dim = config.head_dim
        query = config.num_attention_heads * config.head_dim
        key_value = config.num_key_value_heads * config.head_dim
        self.q_proj = Linear(config.hidden_size, query)
        self.k_proj = Linear(config.hidden_size, key_value)
        self.v_proj = Linear(config.hidden_size, key_value)
        self.o_proj = Linear(query, config.hidden_size)

    def forward(self, x_BTD: torch.Tensor, by: Rotation, cache: KVCache | None) -> torch.Tensor:
        """Attend from each token to itself and those before it; returns [B, T, D]."""
        q_BHTQ = rotate(self._heads(self.q_proj(x_BTD)), by)
        k_BKSQ = rotate(self._heads(self.k_proj(x_BTD)), by)
        v_BKSQ = self._heads(self.v_proj(x_BTD))
        if cache is not None:
            k_BKSQ, v_BKSQ = cache.append(self.layer, k_BKSQ, v_BKSQ)
        o_BHTQ = attend(q_BHTQ, k_BKSQ, v_BKSQ)
        return self.o_proj(o_BHTQ.transpose(1, 2).flatten(2))

    def _heads(self, x_BTX: torch.Tensor) -> torch.Tensor:
        return x_BTX.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)


def attend(q_BHTQ: torch.Tensor, k_BKSQ: torch.Tensor, v_BKSQ: torch.Tensor) -> torch.Tensor:
    """Causal softmax(q k^T / sqrt(Q)) v, where the T queries are the last of the S tokens; returns [B, H, T, Q]."""
    num_new, num_all = q_BHTQ.shape[2], k_BKSQ.shape[2]
    mask = None
    if 1 < num_new < num_all:  # without a cache is_causal says it, and a single token may see everything
        positions = torch.arange(num_all, device=q_BHTQ.device)
        mask = positions <= positions[num_all - num_new :, None]
    return functional.scaled_dot_product_attention(
        q_BHTQ,
        k_BKSQ,
        v_BKSQ,
        attn_mask=mask,
        is_causal=num_new == num_all and num_new > 1,
        enable_gqa=q_BHTQ.shape[1] != k_BKSQ.shape[1],
    )
