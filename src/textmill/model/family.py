"""The LLaMA family: what each ``model_type`` of transformers has, and what keys mean that are left out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from textmill.base.errors import ConfigError
from textmill.model.ranges import shown

if TYPE_CHECKING:
    from textmill.model.config import ModelConfig


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """One ``model_type``.

    Attributes:
        architecture: transformers' class.
        attention_bias: ``key`` adds biases to all four projections where the key ``attention_bias`` is true, ``qkv``
            has them on q, k and v always, ``none`` never.
        mlp_bias: whether it has the key ``mlp_bias``.
        qk_norm: whether it norms the heads of q and k; ``key`` says so by the key ``qk_norm``.
        value_embeddings: whether it has them, and says so by the key ``value_embeddings``.
        windows: which layers may have a sliding window: ``none``, ``all`` or none of them, or ``some``.
        nope: whether it has layers without RoPE.
        num_key_value_heads: where the key is absent; None is one for each query head.
        head_dim: where the key is absent; None is the width divided by the query heads.
        max_position_embeddings, rope_theta, sliding_window, tie_word_embeddings: where the key is absent.
    """

    architecture: str
    attention_bias: Literal["key", "qkv", "none"]
    mlp_bias: bool = False
    qk_norm: bool | Literal["key"] = False
    value_embeddings: bool = False
    windows: Literal["none", "all", "some"] = "none"
    nope: bool = False
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int
    rope_theta: float = 10_000.0
    sliding_window: int | None = None
    tie_word_embeddings: bool = False


OWN = "textmill"
"""The ``model_type`` of models that textmill alone runs."""

NOT_EXPORTED = (
    "a model with value embeddings runs in textmill alone (generate, chat, eval, train): neither transformers nor GGUF "
    'have a place for its tables. To export a model, train one with [model] preset = "llama", or with qk_norm alone'
)

FAMILIES = {
    "llama": Family(architecture="LlamaForCausalLM", attention_bias="key", mlp_bias=True, max_position_embeddings=2048),
    "mistral": Family(
        architecture="MistralForCausalLM",
        attention_bias="none",
        windows="all",
        num_key_value_heads=8,
        max_position_embeddings=131_072,
        sliding_window=4096,
    ),
    "qwen2": Family(
        architecture="Qwen2ForCausalLM",
        attention_bias="qkv",
        windows="some",
        num_key_value_heads=32,
        max_position_embeddings=32_768,
        sliding_window=4096,
    ),
    "qwen3": Family(
        architecture="Qwen3ForCausalLM",
        attention_bias="key",
        qk_norm=True,
        windows="some",
        num_key_value_heads=32,
        head_dim=128,
        max_position_embeddings=32_768,
        sliding_window=4096,
    ),
    "smollm3": Family(
        architecture="SmolLM3ForCausalLM",
        attention_bias="key",
        mlp_bias=True,
        windows="some",
        nope=True,
        num_key_value_heads=4,
        max_position_embeddings=32_768,
        rope_theta=2_000_000.0,
        tie_word_embeddings=True,
    ),
    # What no class of transformers has, under a name that none of them claims.
    OWN: Family(
        architecture="TextmillForCausalLM",
        attention_bias="none",
        qk_norm="key",
        value_embeddings=True,
        max_position_embeddings=2048,
    ),
}


def family_of(model_type: object) -> Family:
    """Look a ``model_type`` up; raises ``ConfigError`` where it is not of the LLaMA family."""
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise ConfigError(
            f"model_type is {shown(model_type)}, which this release cannot reproduce exactly "
            f"({', '.join(FAMILIES)} it can)"
        )
    return FAMILIES[model_type]


def model_type_of(*, qk_norm: bool, value_embeddings: bool) -> str:
    """The ``model_type`` of a new model with these parts and no biases."""
    if value_embeddings:
        return OWN
    return "qwen3" if qk_norm else "llama"


def check_family(config: ModelConfig) -> None:
    """Raise ``ConfigError`` where a model has what its ``model_type`` does not: no other program could run it."""
    family = family_of(config.model_type)
    biases = (config.qkv_bias, config.o_bias)
    possible = {"key": ((False, False), (True, True)), "qkv": ((True, False),), "none": ((False, False),)}
    num_sliding = len(config.sliding_layers)
    wrong = {
        f"qkv_bias = {biases[0]} and o_bias = {biases[1]}": biases not in possible[family.attention_bias],
        "mlp_bias = True": config.mlp_bias and not family.mlp_bias,
        f"qk_norm = {config.qk_norm}": family.qk_norm not in ("key", config.qk_norm),
        f"value_embeddings = {config.value_embeddings}": config.value_embeddings != family.value_embeddings,
        f"nope_layers = {config.nope_layers}": config.nope_layers and not family.nope,
        f"a sliding window in {num_sliding} of {config.num_hidden_layers} layers": num_sliding
        and (family.windows == "none" or (family.windows == "all" and num_sliding != config.num_hidden_layers)),
    }
    for feature, is_wrong in wrong.items():
        if is_wrong:
            raise ConfigError(
                f'{feature} is not possible in a model of model_type "{config.model_type}" ({family.architecture}); '
                "take the model_type that has it"
            )
