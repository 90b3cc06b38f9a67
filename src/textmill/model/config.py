"""What a model is: its sizes under Hugging Face's names, and the tensors that follow from them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container, Mapping
from typing import Any

from textmill.base.errors import ConfigError, DataError
from textmill.model.family import check_family
from textmill.model.hf_config import read_hf, write_hf
from textmill.model.ranges import SIZES, check_bool, check_layers, check_number, check_size, check_whole
from textmill.model.rope_scaling import RopeScaling, YarnScaling

TABLE, HEAD = "model.embed_tokens.weight", "lm_head.weight"
VALUE_EMBEDDINGS = "self_attn.value_embeddings.weight"
"""The name, within its layer, of a table that no matrix is multiplied with: tokens look up rows of it."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The sizes of a LLaMA-style model, as Hugging Face names them.

    ``model_type`` is the class of transformers, and says which of the other parts there may be (``family``).
    ``num_key_value_heads`` equal to ``num_attention_heads`` is multi-head attention, 1 is multi-query attention, and
    what divides the heads in between is grouped-query attention (arXiv:2305.13245).

    Attributes:
        qkv_bias: whether q_proj, k_proj and v_proj have biases; ``o_bias`` and ``mlp_bias`` say so of the others.
        qk_norm: whether each head of q and of k is normed, by one weight for all heads, before it is rotated.
        value_embeddings: whether alternate layers, the last one included, add a row of a learned table to each token's
            values: ``v_proj(x) + table[id]``, a table [vocab_size, key-value heads * head_dim] each (modded-nanogpt,
            nanochat).
        rope_scaling: how RoPE goes beyond the context that the model was first trained on; None is plain RoPE.
        nope_layers: layers whose queries and keys are not rotated.
        sliding_window: in ``sliding_layers`` a token sees itself and ``sliding_window - 1`` tokens before it.
        sliding_layers: the layers that have that window; the others see everything before.

    Raises:
        ConfigError: for a size out of its range, sizes that do not fit each other, or parts that models of this
            ``model_type`` do not have.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10_000.0
    tie_word_embeddings: bool = False
    bos_token_id: int | None = None
    eos_token_id: int | tuple[int, ...] | None = None
    initializer_range: float = 0.02
    model_type: str = "llama"
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    value_embeddings: bool = False
    rope_scaling: RopeScaling | None = None
    nope_layers: tuple[int, ...] = ()
    sliding_window: int | None = None
    sliding_layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._check_sizes()
        self._check_numbers()
        self._check_layers()
        check_family(self)

    def _check_sizes(self) -> None:
        for name in SIZES:
            if name != "sliding_window" or self.sliding_window is not None:
                check_size(name, getattr(self, name))
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_key_value_heads is {self.num_key_value_heads}, which does not divide num_attention_heads "
                f"({self.num_attention_heads}): each key-value head serves the same number of query heads. "
                f"Take one of {_divisors(self.num_attention_heads)}"
            )
        if self.model_type == "llama" and self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"hidden_size is {self.hidden_size}, which is no multiple of num_attention_heads "
                f"({self.num_attention_heads}); transformers refuses such a model. Take a hidden_size of "
                f"{math.ceil(self.hidden_size / self.num_attention_heads) * self.num_attention_heads}"
            )
        if self.head_dim % 2:
            raise ConfigError(
                f"head_dim is {self.head_dim}, and must be even: RoPE turns its values in pairs. "
                f"Take {self.head_dim + 1}"
            )

    def _check_numbers(self) -> None:
        check_number("rms_norm_eps", self.rms_norm_eps, 0.0, 1.0)
        check_number("rope_theta", self.rope_theta, 1.0, 1e12)
        check_number("initializer_range", self.initializer_range, 0.0, 1.0)
        if isinstance(self.rope_scaling, YarnScaling) and self.rope_theta == 1.0:
            raise ConfigError("rope_theta is 1, and YaRN needs more: all pairs would turn alike")
        for name in ("tie_word_embeddings", "qkv_bias", "o_bias", "mlp_bias", "qk_norm", "value_embeddings"):
            check_bool(name, getattr(self, name))
        for name in ("bos_token_id", "eos_token_id"):
            value = getattr(self, name)
            for token_id in value if isinstance(value, tuple) else (value,) if value is not None else ():
                check_whole(name, token_id, 0, self.vocab_size - 1)

    def _check_layers(self) -> None:
        check_layers("nope_layers", self.nope_layers, self.num_hidden_layers)
        check_layers("sliding_layers", self.sliding_layers, self.num_hidden_layers)
        if (self.sliding_window is None) != (not self.sliding_layers):
            raise ConfigError(
                f"sliding_window is {self.sliding_window}, and {len(self.sliding_layers)} layers slide: "
                "give both a window and the layers that have it, or neither"
            )

    @property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The ids that end a text, as a tuple whatever way they were written."""
        if self.eos_token_id is None:
            return ()
        return self.eos_token_id if isinstance(self.eos_token_id, tuple) else (self.eos_token_id,)

    @property
    def queries_per_key_value_head(self) -> int:
        """How many query heads read each key-value head: 1 is multi-head, all of them multi-query."""
        return self.num_attention_heads // self.num_key_value_heads

    @property
    def num_layer_parameters(self) -> int:
        """Parameters of one layer: four attention projections, three of the feed-forward, norms and biases.

        A table of value embeddings is not among them.
        """
        return sum(math.prod(shape) for shape in self._layer_shapes().values())

    @property
    def num_value_embedding_parameters(self) -> int:
        """Parameters of all tables of value embeddings: none where the model has none."""
        tables = sum(self.embeds_values(layer) for layer in range(self.num_hidden_layers))
        return tables * self.vocab_size * self.num_key_value_heads * self.head_dim

    @property
    def num_parameters(self) -> int:
        """Parameters in all; a head tied to the input table counts once."""
        blocks = self.num_hidden_layers * self.num_layer_parameters
        return self.num_table_parameters + blocks + self.num_value_embedding_parameters + self.hidden_size

    @property
    def num_table_parameters(self) -> int:
        """Parameters of the input table and the head, which are one where they are tied."""
        return self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)

    def with_head_of(self, tensors: Container[str]) -> ModelConfig:
        """These sizes, and a head of its own where one is among tensors: tied no more, if it was."""
        return dataclasses.replace(self, tie_word_embeddings=self.tie_word_embeddings and HEAD not in tensors)

    def window_of(self, layer: int) -> int | None:
        """How many tokens a query of this layer sees at most, itself included; None where it sees all before it."""
        return self.sliding_window if layer in self.sliding_layers else None

    def rotates(self, layer: int) -> bool:
        """Whether this layer's queries and keys are rotated by their positions."""
        return layer not in self.nope_layers

    def embeds_values(self, layer: int) -> bool:
        """Whether this layer has a table of value embeddings: the last one, and every second before it."""
        return self.value_embeddings and (self.num_hidden_layers - 1 - layer) % 2 == 0

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the model by its Hugging Face name, [out, in] for matrices, in the order of the forward."""
        layer = self._layer_shapes()
        shapes: dict[str, tuple[int, ...]] = {TABLE: (self.vocab_size, self.hidden_size)}
        for index in range(self.num_hidden_layers):
            shapes |= {f"model.layers.{index}.{name}": shape for name, shape in layer.items()}
            if self.embeds_values(index):
                shapes[f"model.layers.{index}.{VALUE_EMBEDDINGS}"] = (
                    self.vocab_size,
                    self.num_key_value_heads * self.head_dim,
                )
        shapes["model.norm.weight"] = (self.hidden_size,)
        if not self.tie_word_embeddings:
            shapes[HEAD] = (self.vocab_size, self.hidden_size)
        return shapes

    def _layer_shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors that every layer has, without the prefix that numbers it."""
        width, feed_forward = self.hidden_size, self.intermediate_size
        query = self.num_attention_heads * self.head_dim
        key_value = self.num_key_value_heads * self.head_dim
        shapes: dict[str, tuple[int, ...]] = {"input_layernorm.weight": (width,)}
        shapes |= _linear("self_attn.q_proj", width, query, self.qkv_bias)
        shapes |= _linear("self_attn.k_proj", width, key_value, self.qkv_bias)
        shapes |= _linear("self_attn.v_proj", width, key_value, self.qkv_bias)
        if self.qk_norm:
            shapes |= {f"self_attn.{name}.weight": (self.head_dim,) for name in ("q_norm", "k_norm")}
        shapes |= _linear("self_attn.o_proj", query, width, self.o_bias)
        shapes["post_attention_layernorm.weight"] = (width,)
        shapes |= _linear("mlp.gate_proj", width, feed_forward, self.mlp_bias)
        shapes |= _linear("mlp.up_proj", width, feed_forward, self.mlp_bias)
        return shapes | _linear("mlp.down_proj", feed_forward, width, self.mlp_bias)

    @classmethod
    def from_hf(cls, table: Mapping[str, Any]) -> ModelConfig:
        """Read a config.json of transformers 4 or 5, as ``hf_config`` tells.

        Raises:
            DataError: for a feature that cannot be reproduced exactly (by its name), a missing size or a bad value.
        """
        try:
            return cls(**read_hf(table))
        except ConfigError as error:
            raise DataError(f"the model's configuration cannot be used: {error}") from error

    def to_hf(self, dtype: str = "float32") -> dict[str, Any]:
        """Write a config.json that transformers 4 and 5 load as the class of this ``model_type``.

        That of a model which is textmill's own no other program reads.
        """
        return write_hf(self, dtype)


def _linear(name: str, num_in: int, num_out: int, bias: bool) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (num_out, num_in), **({f"{name}.bias": (num_out,)} if bias else {})}


def _divisors(number: int) -> str:
    return ", ".join(str(candidate) for candidate in range(1, number + 1) if number % candidate == 0)
