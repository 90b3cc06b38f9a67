"""LLaMA (arXiv:2302.13971 §2.2) and its family: pre-norm blocks of attention with RoPE and SwiGLU feed-forwards.

Attributes carry the names of Hugging Face's tensors, so a state dict is the content of a ``model.safetensors``.

B batch, T tokens, D width, F feed-forward, V vocabulary; attention's letters stand in ``attention``.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from textmill.base.errors import ConfigError
from textmill.model.attention import Attention, KVCache, with_added_values
from textmill.model.config import VALUE_EMBEDDINGS, ModelConfig
from textmill.model.embedding import Embedding
from textmill.model.linear import Linear, linear
from textmill.model.norm import RMSNorm
from textmill.model.norm_linear import norm_linear
from textmill.model.remat import Remat, through
from textmill.model.rope import Rope, Rotation
from textmill.model.segments import Segments
from textmill.model.swiglu import swiglu_down

Residual = Literal["zero", "scaled"]


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
        self,
        ids_BT: torch.Tensor,
        cache: KVCache | None = None,
        *,
        dtype: torch.dtype | None = None,
        positions_BT: torch.Tensor | None = None,
        segments_BT: torch.Tensor | None = None,
        remat: Remat = "none",
    ) -> torch.Tensor:
        """Logits [B, T, V] of the token after each; see ``backbone``."""
        x_BTD = self.backbone(
            ids_BT, cache, dtype=dtype, positions_BT=positions_BT, segments_BT=segments_BT, remat=remat
        )
        return self.head(x_BTD)

    def backbone(
        self,
        ids_BT: torch.Tensor,
        cache: KVCache | None = None,
        *,
        dtype: torch.dtype | None = None,
        positions_BT: torch.Tensor | None = None,
        segments_BT: torch.Tensor | None = None,
        remat: Remat = "none",
    ) -> torch.Tensor:
        """Hidden states [B, T, D] after the last norm, what ``head`` takes.

        Args:
            ids_BT: integer ids, right-padded where texts differ in length (causal attention never looks ahead).
            cache: keys and values of the tokens before these; the new ones are appended, if they fit.
            dtype: what activations and products are in; the weights' own dtype unless given.
            positions_BT: integer places of the tokens; 0, 1, ... in each row unless given. Not with a cache.
            segments_BT: integer number of each token's document, never falling in a row: tokens attend to those of
                their own document alone. Each row is one document unless given. Not with a cache.
            remat: what blocks save for backward, as ``remat`` tells; gradients are the same, bit for bit on a CPU.
        """
        assert cache is None or (positions_BT is None and segments_BT is None)
        return self.model(ids_BT, cache, dtype=dtype, positions_BT=positions_BT, segments_BT=segments_BT, remat=remat)

    def head(self, x_BTD: torch.Tensor) -> torch.Tensor:
        """Logits [..., V] of hidden states [..., D], in the dtype of the states."""
        logits_BTV = functional.linear(x_BTD, self.head_weight.to(x_BTD.dtype))
        adapter = self.head_adapter(x_BTD)
        if adapter is None:
            return logits_BTV
        thin_BTR, b_VR = adapter
        return logits_BTV + functional.linear(thin_BTR, b_VR.to(x_BTD.dtype))

    def head_layer(self) -> Linear:
        """The head as a layer, which can have an adapter; a tied one has the table's own weight, and they stay one."""
        if self.lm_head is None:
            self.lm_head = Linear(self.config.hidden_size, self.config.vocab_size)
            self.lm_head.weight = self.model.embed_tokens.weight
        return self.lm_head

    def head_adapter(self, x_BTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Rows [..., R] and a matrix [V, R] whose product the head's adapter adds to logits; None where it has none."""
        if self.lm_head is None or self.lm_head.adapter is None:
            return None
        from textmill.model.adapted import thin_rows  # which builds on this file's neighbours

        return thin_rows(x_BTD, self.lm_head)

    @property
    def head_weight(self) -> torch.Tensor:
        """The head's matrix [V, D], which is the input table where they are tied."""
        return self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight

    def set_rope(self, config: ModelConfig) -> None:
        """Take over RoPE's base and the context of ``config``; the weights stay as they are.

        Raises:
            ConfigError: ``config`` differs from the model's in anything else.
        """
        fields = (field.name for field in dataclasses.fields(ModelConfig))
        others = [name for name in fields if getattr(config, name) != getattr(self.config, name)]
        others = [name for name in others if name not in ("rope_theta", "max_position_embeddings")]
        if others:
            differences = (f"{name} from {getattr(self.config, name)} to {getattr(config, name)}" for name in others)
            raise ConfigError(
                f"a model cannot change {', '.join(differences)} while it lives: only rope_theta and "
                "max_position_embeddings can. Start a new model"
            )
        self.config = config
        self.model.rope = Rope(config)

    @torch.no_grad()
    def init_weights(self, seed: int, *, residual: Residual = "zero") -> Llama:
        """Fill every tensor with its ``first_values``; returns itself."""
        for name, parameter in self.named_parameters():
            parameter.copy_(first_values(self.config, name, tuple(parameter.shape), seed, residual=residual))
        return self


def first_values(
    config: ModelConfig, name: str, shape: tuple[int, ...], seed: int, *, residual: Residual = "zero"
) -> torch.Tensor:
    """What a new model has in a tensor: random numbers of its own, keyed by the seed and the tensor's name.

    ====================== ============================================================================
    embed_tokens, lm_head  normal(0, initializer_range)
    q, k, v, gate, up      normal(0, initializer_range)
    o_proj, down_proj      0: each block starts as the identity (arXiv:1901.09321 §3, rule 1); or, with
                           ``residual="scaled"``, normal(0, initializer_range / sqrt(2 * layers)), which
                           keeps the residual stream's variance (GPT-2 §2.3)
    value_embeddings       as these: a new model is that without them
    norms                  1
    biases                 0
    ====================== ============================================================================

    The numbers are drawn on the CPU in f32, so every device and dtype starts from the same model.
    """
    if len(shape) == 1:
        return torch.full((1,), 0.0 if name.endswith(".bias") else 1.0).expand(shape)
    deviation = config.initializer_range
    if name.endswith(("o_proj.weight", "down_proj.weight", VALUE_EMBEDDINGS)):
        deviation = 0.0 if residual == "zero" else deviation / (2 * config.num_hidden_layers) ** 0.5
    if deviation == 0.0:
        return torch.zeros(()).expand(shape)
    generator = torch.Generator().manual_seed(_seed_of(seed, name))
    return torch.empty(shape).normal_(0.0, deviation, generator=generator)


class Decoder(nn.Module):
    """Input table, blocks and last norm: everything but the head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.rope = Rope(config)
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        ids_BT: torch.Tensor,
        cache: KVCache | None,
        *,
        dtype: torch.dtype | None = None,
        positions_BT: torch.Tensor | None = None,
        segments_BT: torch.Tensor | None = None,
        remat: Remat = "none",
    ) -> torch.Tensor:
        """Hidden states [B, T, D] of the tokens."""
        num_rows, num_tokens = ids_BT.shape
        num_cached = 0
        if cache is not None:
            cache.require_room(num_tokens)
            num_cached = cache.length
        if positions_BT is None:
            by = self.rope.rotation(num_cached, num_tokens, ids_BT.device)
        else:
            by = self.rope.rotation_at(positions_BT)
        x_BTD = self.embed_tokens(ids_BT)
        x_BTD = x_BTD if dtype is None else x_BTD.to(dtype)
        segments = Segments(segments_BT, (num_rows, num_tokens), x_BTD.dtype, x_BTD.device)
        for block in self.layers:
            x_BTD = block(x_BTD, ids_BT, by, segments, cache, remat=remat)
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

    def forward(
        self,
        x_BTD: torch.Tensor,
        ids_BT: torch.Tensor,
        by: Rotation,
        segments: Segments,
        cache: KVCache | None,
        *,
        remat: Remat = "none",
    ) -> torch.Tensor:
        """Return the stream [B, T, D] after this layer; ``remat`` is what is saved for backward.

        ``ids_BT`` are what value embeddings are looked up by.
        """
        return through(self, x_BTD, ids_BT, by, segments, cache=cache, remat=remat)

    def once(
        self,
        x_BTD: torch.Tensor,
        ids_BT: torch.Tensor,
        by: Rotation,
        segments: Segments,
        cache: KVCache | None,
        *,
        keeps_all: bool,
    ) -> torch.Tensor:
        """Return the stream after this layer.

        ``keeps_all`` keeps everything for backward; else norms, turns and SwiGLU's product are made again there.
        """
        x_BTD, o_BTD = self.attended(x_BTD, ids_BT, by, segments, cache, keeps_all=keeps_all)
        x_BTD, down_BTD = self.fed(x_BTD, o_BTD, keeps_all=keeps_all)
        return x_BTD + down_BTD

    def attended(
        self,
        x_BTD: torch.Tensor,
        ids_BT: torch.Tensor,
        by: Rotation,
        segments: Segments,
        cache: KVCache | None,
        *,
        keeps_all: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The stream [B, T, D], and what attention adds to it."""
        attention = self.self_attn
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        x_BTD, qkv_BTX = norm_linear(x_BTD, self.input_layernorm, projections, keeps_all=keeps_all)
        if attention.value_embeddings is not None:
            qkv_BTX = with_added_values(qkv_BTX, attention.value_embeddings(ids_BT))
        o_BTX = attention(qkv_BTX, by, segments, cache, keeps_all=keeps_all)
        return x_BTD, linear(o_BTX, attention.o_proj, keeps_all=keeps_all)

    def fed(
        self, x_BTD: torch.Tensor, added_BTD: torch.Tensor | None, *, keeps_all: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The stream with what was ``added`` to it [B, T, D], and what the feed-forward adds."""
        mlp = self.mlp
        x_BTD, gate_up_BTF = norm_linear(
            x_BTD,
            self.post_attention_layernorm,
            (mlp.gate_proj, mlp.up_proj),
            added_BTD=added_BTD,
            keeps_all=keeps_all,
        )
        return x_BTD, swiglu_down(gate_up_BTF, mlp.down_proj, keeps_all=keeps_all)


class FeedForward(nn.Module):
    """SwiGLU (arXiv:2002.05202 §2): ``(silu(x W_gate) * x W_up) W_down``; ``Block`` multiplies by its projections."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.gate_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.up_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)


def _seed_of(seed: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1  # torch takes 63 bits
