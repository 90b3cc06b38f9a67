"""What a model is: its sizes under Hugging Face's names, the tensors that follow from them, and config.json.

Reading fails closed: a feature that this model cannot reproduce exactly is refused by its name.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from textmill.base.errors import ConfigError, DataError

# Beyond these a size is a slip of the pen or a lie in a file; they keep every product below inside 64 bits.
_RANGES = {
    "vocab_size": (1, 1 << 24),
    "hidden_size": (1, 1 << 20),
    "intermediate_size": (1, 1 << 22),
    "num_hidden_layers": (1, 1 << 12),
    "num_attention_heads": (1, 1 << 14),
    "num_key_value_heads": (1, 1 << 14),
    "head_dim": (2, 1 << 14),
    "max_position_embeddings": (1, 1 << 27),
}


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The sizes of a LLaMA-style model, as Hugging Face names them.

    ``num_key_value_heads`` equal to ``num_attention_heads`` is multi-head attention, 1 is multi-query attention, and
    what divides the heads in between is grouped-query attention (arXiv:2305.13245).

    Raises:
        ConfigError: for a size out of its range, or sizes that do not fit each other.
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

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            _check_whole(name, getattr(self, name), low, high)
        if self.num_attention_heads % self.num_key_value_heads:
            raise ConfigError(
                f"num_key_value_heads is {self.num_key_value_heads}, which does not divide num_attention_heads "
                f"({self.num_attention_heads}): each key-value head serves the same number of query heads. "
                f"Take one of {_divisors(self.num_attention_heads)}"
            )
        if self.hidden_size % self.num_attention_heads:
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
        _check_number("rms_norm_eps", self.rms_norm_eps, 0.0, 1.0)
        _check_number("rope_theta", self.rope_theta, 1.0, 1e12)
        _check_number("initializer_range", self.initializer_range, 0.0, 1.0)
        if not isinstance(self.tie_word_embeddings, bool):
            raise ConfigError(f"tie_word_embeddings is {self.tie_word_embeddings!r}, and must be true or false")
        for name in ("bos_token_id", "eos_token_id"):
            value = getattr(self, name)
            for token_id in value if isinstance(value, tuple) else (value,) if value is not None else ():
                _check_whole(name, token_id, 0, self.vocab_size - 1)

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
        """Parameters of one layer: four attention projections, three of the feed-forward, two norms."""
        query = self.num_attention_heads * self.head_dim
        key_value = self.num_key_value_heads * self.head_dim
        attention = self.hidden_size * (2 * query + 2 * key_value)
        return attention + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size

    @property
    def num_parameters(self) -> int:
        """Parameters in all; a head tied to the input table counts once."""
        tables = self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)
        return tables + self.num_hidden_layers * self.num_layer_parameters + self.hidden_size

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor of the model by its Hugging Face name, [out, in] for matrices, in the order of the forward."""
        width, feed_forward = self.hidden_size, self.intermediate_size
        query = self.num_attention_heads * self.head_dim
        key_value = self.num_key_value_heads * self.head_dim
        layer = {
            "input_layernorm": (width,),
            "self_attn.q_proj": (query, width),
            "self_attn.k_proj": (key_value, width),
            "self_attn.v_proj": (key_value, width),
            "self_attn.o_proj": (width, query),
            "post_attention_layernorm": (width,),
            "mlp.gate_proj": (feed_forward, width),
            "mlp.up_proj": (feed_forward, width),
            "mlp.down_proj": (width, feed_forward),
        }
        shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (self.vocab_size, width)}
        for index in range(self.num_hidden_layers):
            shapes |= {f"model.layers.{index}.{name}.weight": shape for name, shape in layer.items()}
        shapes["model.norm.weight"] = (width,)
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, width)
        return shapes

    @classmethod
    def from_hf(cls, table: Mapping[str, Any]) -> ModelConfig:
        """Read a config.json of transformers 4 or 5; absent keys mean what they mean in ``LlamaConfig``.

        Raises:
            DataError: for a feature that cannot be reproduced exactly (by its name), a missing size or a bad value.
        """
        _refuse_unsupported(table)
        missing = [name for name in _SIZES if table.get(name) is None]
        if missing:
            raise DataError(f"the model's configuration lacks {', '.join(missing)}; it is not a whole config.json")
        values: dict[str, Any] = {name: table[name] for name in _SIZES}
        values["num_key_value_heads"] = _or_default(table, "num_key_value_heads", values["num_attention_heads"])
        values["head_dim"] = table.get("head_dim")
        values |= {name: _or_default(table, name, default) for name, default in _LLAMA_DEFAULTS.items()}
        values["rope_theta"] = _rope_theta(table)
        values["bos_token_id"] = table.get("bos_token_id")
        eos = table.get("eos_token_id")
        values["eos_token_id"] = tuple(eos) if isinstance(eos, list) else eos
        try:
            if values["head_dim"] is None:
                heads = values["num_attention_heads"]
                _check_whole("num_attention_heads", heads, *_RANGES["num_attention_heads"])
                _check_whole("hidden_size", values["hidden_size"], *_RANGES["hidden_size"])
                values["head_dim"] = values["hidden_size"] // heads
            return cls(**values)
        except ConfigError as error:
            raise DataError(f"the model's configuration cannot be used: {error}") from error

    def to_hf(self, dtype: str = "float32") -> dict[str, Any]:
        """Write a config.json that transformers 4 and 5 load as ``LlamaForCausalLM``.

        ``rope_theta`` and ``torch_dtype`` are where transformers 4 looks, ``rope_parameters`` and ``dtype`` where
        transformers 5 does.
        """
        table = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if isinstance(self.eos_token_id, tuple):
            table["eos_token_id"] = list(self.eos_token_id)
        return table | {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": 0.0,
            "mlp_bias": False,
            "pretraining_tp": 1,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "rope_scaling": None,
            "use_cache": True,
            "dtype": dtype,
            "torch_dtype": dtype,
        }


_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_LLAMA_DEFAULTS = {
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "initializer_range": 0.02,
}
# What a config.json may say of a feature without asking for it.
_OFF: dict[str, tuple[Any, ...]] = {
    "model_type": ("llama",),
    "hidden_act": ("silu", "swish"),
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "sliding_window": (),
    "use_sliding_window": (False,),
    "rope_interleaved": (False,),
    "partial_rotary_factor": (1.0,),
    "qk_norm": (False,),
    "use_qk_norm": (False,),
    "no_rope_layers": ([],),
    "num_local_experts": (0,),
    "quantization_config": (),
    "is_decoder": (True, False),
    "is_encoder_decoder": (False,),
    "add_cross_attention": (False,),
}


def _refuse_unsupported(table: Mapping[str, Any]) -> None:
    if table.get("model_type") is None:
        raise DataError('the model\'s configuration names no model_type; this release reads "llama"')
    for name, harmless in _OFF.items():
        value = table.get(name)
        if value is not None and value not in harmless:
            wanted = " or ".join(repr(choice) for choice in harmless) or "absent"
            raise DataError(
                f"the model asks for {name} = {value!r}, which this release cannot reproduce exactly ({wanted} it can)"
            )
    layers = table.get("layer_types")
    if layers is not None and (not isinstance(layers, list) or any(kind != "full_attention" for kind in layers)):
        raise DataError(
            f"the model asks for layer_types = {layers!r}, which this release cannot reproduce exactly "
            "(full_attention in every layer it can)"
        )
    for name in ("rope_scaling", "rope_parameters"):
        _refuse_rope_scaling(name, table.get(name))


def _refuse_rope_scaling(name: str, rope: Any) -> None:
    if rope is None or rope == {}:
        return
    if not isinstance(rope, Mapping):
        raise DataError(f"{name} is {rope!r}, and must be a table")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise DataError(
            f'the model asks for RoPE scaling ({name}.rope_type = "{kind}"), '
            "which this release cannot reproduce exactly"
        )
    unknown = sorted(set(rope) - {"rope_type", "type", "rope_theta", "partial_rotary_factor"})
    if unknown or rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise DataError(
            f"the model asks for {name} = {dict(rope)!r}, which this release cannot reproduce exactly "
            "(rope_theta it can)"
        )


def _rope_theta(table: Mapping[str, Any]) -> Any:
    """Transformers 5 keeps the base in ``rope_parameters``, which wins there over the older top-level key."""
    for name in ("rope_parameters", "rope_scaling"):
        rope = table.get(name)
        if rope and rope.get("rope_theta") is not None:
            return rope["rope_theta"]
    return _or_default(table, "rope_theta", 10_000.0)


def _or_default(table: Mapping[str, Any], name: str, default: Any) -> Any:
    value = table.get(name)
    return default if value is None else value


def _check_whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r}, and must be a whole number")
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value:,}, and must be {low:,} to {high:,}")


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r}, and must be a number")
    if not (math.isfinite(value) and low <= value <= high):
        raise ConfigError(f"{name} is {value:g}, and must be {low:g} to {high:g}")


def _divisors(number: int) -> str:
    return ", ".join(str(candidate) for candidate in range(1, number + 1) if number % candidate == 0)
