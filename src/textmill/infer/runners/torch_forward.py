"""The forward pass of a ragged batch in torch, on weights laid out by ``torch_weights``.

T tokens, D width, F feed-forward, V vocabulary, R rows of logits, H query heads, K key-value heads, Q head size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional

from textmill.infer.runners.torch_attention import Attend, Attention
from textmill.infer.runners.torch_batch import Batch
from textmill.infer.runners.torch_pages import Pages
from textmill.infer.runners.torch_weights import LayerWeights, Weights
from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import rope_frequencies


class _Shared(NamedTuple):
    """What the layers of one pass share: ids, where keys go, how to attend, cosines and sines for ``_rotated``."""

    ids: torch.Tensor
    places: torch.Tensor
    attend: Attend
    cos: torch.Tensor
    sin: torch.Tensor


class Forward:
    """A batch in, logits out; nothing in it waits for the device, so that a graph may record it."""

    def __init__(self, config: ModelConfig, weights: Weights, pages: Pages, attention: Attention) -> None:
        self._config = config
        self._weights = weights
        self._pages = pages
        self._attention = attention
        frequencies, self._rope_scale = rope_frequencies(config)
        self._frequencies = torch.from_numpy(frequencies).to(weights.device)

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Write the batch's keys and values to their pages; float32 logits [R, V] after the tokens of ``rows``."""
        return self._head(self._last_layer(batch))

    def states(self, batch: Batch) -> torch.Tensor:
        """The same, but float32 [R, D]: what logits are made of, the last layer's states, normed."""
        return self._norm(self._last_layer(batch), self._weights.norm).float()

    def _last_layer(self, batch: Batch) -> torch.Tensor:
        """States after the last layer, [R, D]."""
        weights = self._weights
        x_TD = functional.embedding(batch.ids, weights.table)
        shared = _Shared(batch.ids, batch.places.long(), self._attention.begin(batch), *self._rotation(batch.positions))
        for layer, of in enumerate(weights.layers):
            x_TD = _added(x_TD, self._attend(layer, of, x_TD, shared), of.o, of.o_bias)
            x_TD = _added(x_TD, self._feed_forward(of, x_TD), of.down, of.down_bias)
        return x_TD[batch.rows]

    def _attend(self, layer: int, of: LayerWeights, x_TD: torch.Tensor, shared: _Shared) -> torch.Tensor:
        """What the heads gather, [T, H Q]."""
        config = self._config
        qkv_TX = functional.linear(self._norm(x_TD, of.input_norm), of.qkv, of.qkv_bias)
        qkv_TNQ = qkv_TX.unflatten(-1, (-1, config.head_dim))
        num_query, num_key = config.num_attention_heads, config.num_key_value_heads
        qk_TNQ, v_TKQ = qkv_TNQ.split([num_query + num_key, num_key], dim=1)
        if of.values is not None:
            v_TKQ = v_TKQ + functional.embedding(shared.ids, of.values).view_as(v_TKQ)
        if of.q_norm is not None and of.k_norm is not None:
            q_THQ, k_TKQ = qk_TNQ.split([num_query, num_key], dim=1)
            qk_TNQ = torch.cat([self._norm(q_THQ, of.q_norm), self._norm(k_TKQ, of.k_norm)], dim=1)
        if config.rotates(layer):
            qk_TNQ = _rotated(qk_TNQ, shared.cos, shared.sin)
        q_THQ, k_TKQ = qk_TNQ.split([num_query, num_key], dim=1)
        self._pages.write(layer, shared.places, k_TKQ, v_TKQ)
        return shared.attend(layer, config.window_of(layer), q_THQ).flatten(1)

    def _feed_forward(self, of: LayerWeights, x_TD: torch.Tensor) -> torch.Tensor:
        """SwiGLU (arXiv:2002.05202 §2) before its last product, [T, F]."""
        both_TX = functional.linear(self._norm(x_TD, of.mlp_norm), of.gate_up, of.gate_up_bias)
        gate_TF, up_TF = both_TX.chunk(2, dim=-1)
        return functional.silu(gate_TF) * up_TF

    def _norm(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return functional.rms_norm(x, weight.shape, weight, self._config.rms_norm_eps)

    def _rotation(self, positions_T: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines [T, 1, Q] for ``_rotated``, in f32."""
        angles_TP = positions_T.float()[:, None] * self._frequencies
        cos_TP, sin_TP = angles_TP.cos() * self._rope_scale, angles_TP.sin() * self._rope_scale
        return torch.cat([cos_TP, cos_TP], -1)[:, None], torch.cat([-sin_TP, sin_TP], -1)[:, None]

    def _head(self, x_RD: torch.Tensor) -> torch.Tensor:
        head = self._weights.head
        if not len(x_RD):
            return torch.empty((0, len(head)), dtype=torch.float32, device=x_RD.device)
        x_RD = self._norm(x_RD, self._weights.norm)
        if x_RD.is_cuda and x_RD.dtype != torch.float32:  # sums that are in f32 anyway, and not rounded to 16 bits
            return torch.mm(x_RD, head.t(), out_dtype=torch.float32)
        return functional.linear(x_RD, head).float()


def _rotated(x_TNQ: torch.Tensor, cos_T1Q: torch.Tensor, sin_T1Q: torch.Tensor) -> torch.Tensor:
    """Turn the pairs (i, i + Q/2) of heads in f32 (arXiv:2104.09864 §3.2.2), in the dtype that they had.

    The sines of a head's first half are negative, so that rolling a head by half its size is the other of each pair.
    """
    other_TNQ = x_TNQ.roll(x_TNQ.shape[-1] // 2, dims=-1)
    return torch.addcmul(x_TNQ * cos_T1Q, other_TNQ, sin_T1Q).to(x_TNQ.dtype)


def _added(x_TD: torch.Tensor, y_TX: torch.Tensor, matrix: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """``x + y W^T + b`` in the place of x, which spares a kernel and a rounding."""
    x_TD.addmm_(y_TX, matrix.t())
    return x_TD if bias is None else x_TD.add_(bias)
