"""LLaMA (arXiv:2302.13971 §2.2) and its family: pre-norm blocks of attention with RoPE and SwiGLU feed-forwards.

Attributes carry the names of Hugging Face's tensors, so a state dict is the content of a ``model.safetensors``.

B batch, T tokens, D width, F feed-forward, V vocabulary; attention's letters stand in ``attention``.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from textmill.model.attention import Attention, KVCache
from textmill.model.config import ModelConfig
from textmill.model.linear import Linear
from textmill.model.norm import RMSNorm
from textmill.model.rope import Rope, Rotation


class Llama(nn.Module):
    """Token ids in, logits of the next token out.

    A new model's tensors are empty: call ``init_weights``, or fill them from a checkpoint.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)
        self.lm_head = None if config.tie_word_embeddings else Linear(config.hidden_size, config.vocab_size)

    def forward(
        self, ids_BT: torch.Tensor, cache: KVCache | None = None, *, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """Logits [B, T, V] of the token after each; see ``backbone``."""
        return self.head(self.backbone(ids_BT, cache, dtype=dtype))

    def backbone(
        self, ids_BT: torch.Tensor, cache: KVCache | None = None, *, dtype: torch.dtype | None = None
    ) -> torch.Tensor:
        """Hidden states [B, T, D] after the last norm, what ``head`` takes.

        Args:
            ids_BT: integer ids, right-padded where texts differ in length (causal attention never looks ahead).
            cache: keys and values of the tokens before these; the new ones are appended, if they fit.
            dtype: what activations and products are in; the weights' own dtype unless given.
        """
        return self.model(ids_BT, cache, dtype=dtype)

    def head(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Logits [..., V] of hidden states [..., D], in the dtype of the states."""
        if self.lm_head is not None:
            return self.lm_head(x_BTD)
        return functional.linear(x_BTD, self.model.embed_tokens.weight.to(x_BTD.dtype))

    @torch.no_grad()
    def init_weights(self, seed: int, *, residual: Literal["zero", "scaled"] = "zero") -> Llama:
        """Fill every tensor from its own random numbers, keyed by the seed and the tensor's name; returns itself.

        ====================== ============================================================================
        embed_tokens, lm_head  normal(0, initializer_range)
        q, k, v, gate, up      normal(0, initializer_range)
        o_proj, down_proj      0: each block starts as the identity (arXiv:1901.09321 §3, rule 1); or, with
                               ``residual="scaled"``, normal(0, initializer_range / sqrt(2 * layers)), which
                               keeps the residual stream's variance (GPT-2 §2.3)
        norms                  1
        biases                 0
        ====================== ============================================================================

        The numbers are drawn on the CPU in f32, so every device and dtype starts from the same model.
        """
        deviation = self.config.initializer_range
        scaled = 0.0 if residual == "zero" else deviation / (2 * self.config.num_hidden_layers) ** 0.5
        for name, parameter in self.named_parameters():
            if parameter.ndim == 1:
                parameter.fill_(0.0 if name.endswith(".bias") else 1.0)
                continue
            std = scaled if name.endswith(("o_proj.weight", "down_proj.weight")) else deviation
            if std == 0.0:
                parameter.zero_()
                continue
            generator = torch.Generator().manual_seed(_seed_of(seed, name))
            parameter.copy_(torch.empty(parameter.shape).normal_(0.0, std, generator=generator))
        return self


class Decoder(nn.Module):
    """Input table, blocks and last norm: everything but the head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.rope = Rope(config)
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, ids_BT: torch.Tensor, cache: KVCache | None, *, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Hidden states [B, T, D] of the tokens."""
        num_tokens, num_cached = ids_BT.shape[1], 0
        if cache is not None:
            cache.require_room(num_tokens)
            num_cached = cache.length
        by = self.rope.rotation(num_cached, num_tokens, ids_BT.device)
        x_BTD = self.embed_tokens(ids_BT)
        x_BTD = x_BTD if dtype is None else x_BTD.to(dtype)
        for block in self.layers:
            x_BTD = block(x_BTD, by, cache)
        if cache is not None:
            cache.advance(num_tokens)
        return self.norm(x_BTD)


class Block(nn.Module):
    """One layer: attention and a feed-forward, each on the normed stream and added back to it."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, x_BTD: torch.Tensor, by: Rotation, cache: KVCache | None) -> torch.Tensor:
        """Return the stream [B, T, D] after this layer."""
        x_BTD = x_BTD + self.self_attn(self.input_layernorm(x_BTD), by, cache)
        return x_BTD + self.mlp(self.post_attention_layernorm(x_BTD))


class FeedForward(nn.Module):
    """SwiGLU (arXiv:2002.05202 §2): ``(silu(x W_gate) * x W_up) W_down``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)

    def forward(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Through [B, T, F] and back to [B, T, D]."""
        return self.down_proj(functional.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))


class Embedding(nn.Module):
    """A row of the table [V, D] for each id."""

    def __init__(self, num_rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_rows, width))

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Look up [B, T] ids as [B, T, D]."""
        return functional.embedding(ids_BT, self.weight)


def _seed_of(seed: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1  # torch takes 63 bits
