"""Sizes of the LLaMA family in a GGUF's values. Reading fails closed: a value that is not known is refused by its name.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

from typing import Any

import numpy as np

from textmill.base.errors import ConfigError, DataError
from textmill.base.gguf import Header
from textmill.checkpoint.gguf_names import ARCHITECTURES, ROPE_FACTORS, gguf_name
from textmill.checkpoint.gguf_rope import llama3_scaling, scaling_values
from textmill.checkpoint.gguf_values import GgufValues
from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import LinearScaling, Llama3Scaling, RopeScaling, YarnScaling
from textmill.tokenizer.formats import gguf as tokenizer_values

_NOPE_STEP = 4  # llama.cpp leaves every fourth layer of this architecture as it is, whatever the file says


def read_config(header: Header, divisors: np.ndarray | None) -> ModelConfig:
    """Read the sizes of a model.

    Args:
        header: the file's.
        divisors: float32 values of the tensor ``rope_freqs.weight``, where the file has it.

    Raises:
        DataError: the architecture is not of the family, a value is missing, wrong, or asks for what cannot be
            reproduced exactly.
    """
    architecture = header.value("general.architecture", str, "")
    if architecture not in ARCHITECTURES.values():
        known = ", ".join(dict.fromkeys(ARCHITECTURES.values()))
        raise DataError(
            f'its architecture is "{architecture[:80]}", which this release cannot reproduce ({known} it can)'
        )
    values = GgufValues(header, architecture)
    try:
        config = ModelConfig(**_sizes(values, divisors), **_parts(values), **_ends_of_texts(header))
    except ConfigError as error:
        raise DataError(f"its sizes cannot be used: {error}") from error
    values.refuse_the_rest()
    return config


def config_values(config: ModelConfig) -> dict[str, Any]:
    """Return the values that say a model's sizes; raises ``ConfigError`` for what GGUF cannot say."""
    architecture = ARCHITECTURES[config.model_type]
    _check_writable(config, architecture)
    values: dict[str, Any] = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "rope.dimension_count": config.head_dim,
        "rope.freq_base": float(config.rope_theta),
        "vocab_size": config.vocab_size,
    }
    if config.sliding_window is not None:
        values["attention.sliding_window"] = config.sliding_window
        if len(config.sliding_layers) < config.num_hidden_layers:
            pattern = np.isin(np.arange(config.num_hidden_layers), config.sliding_layers)
            values["attention.sliding_window_pattern"] = pattern
    named = {f"{architecture}.{name}": value for name, value in values.items()}
    return {"general.architecture": architecture, **named, **scaling_values(config.rope_scaling, architecture)}


def _sizes(values: GgufValues, divisors: np.ndarray | None) -> dict[str, Any]:
    hidden, heads = values.whole("embedding_length"), values.whole("attention.head_count")
    usual = hidden // heads if heads > 0 else 0
    head_dim = values.whole("attention.key_length", usual)
    for name in ("attention.value_length", "rope.dimension_count"):
        size = values.whole(name, usual if name != "rope.dimension_count" else head_dim)
        if size != head_dim:
            raise DataError(
                f"its {values.architecture}.{name} is {size}, and the size of its heads {head_dim}: that they differ "
                "cannot be reproduced"
            )
    table = values.header.tensors.get("token_embd.weight")
    if table is None or len(table.shape) != 2:
        raise DataError("it has no tensor token_embd.weight of two dimensions: it holds no whole model")
    num_rows = table.shape[0]
    if values.whole("vocab_size", num_rows) != num_rows:
        raise DataError(f"its table has {num_rows:,} rows, and its vocab_size is {values.whole('vocab_size'):,}")
    context = values.whole("context_length")
    theta = values.number("rope.freq_base", 10_000.0)
    return {
        "vocab_size": num_rows,
        "hidden_size": hidden,
        "intermediate_size": values.whole("feed_forward_length"),
        "num_hidden_layers": values.num_layers(),
        "num_attention_heads": heads,
        "num_key_value_heads": values.whole("attention.head_count_kv", heads),
        "head_dim": head_dim,
        "max_position_embeddings": context,
        "rms_norm_eps": values.number("attention.layer_norm_rms_epsilon"),
        "rope_theta": theta,
        "rope_scaling": _scaling(values, context, head_dim, theta, divisors),
    }


def _scaling(
    values: GgufValues, context: int, head_dim: int, theta: float, divisors: np.ndarray | None
) -> RopeScaling | None:
    linear = values.number("rope.scale_linear", 1.0)
    kind = values.text("rope.scaling.type", "linear" if linear != 1.0 else "none")
    factor = values.number("rope.scaling.factor", linear)
    original = values.whole("rope.scaling.original_context_length", 0)
    betas = values.number("rope.scaling.yarn_beta_fast", 32.0), values.number("rope.scaling.yarn_beta_slow", 1.0)
    if kind not in {"none", "linear", "yarn"}:
        raise DataError(
            f'it asks for RoPE scaling of the kind "{kind[:80]}", which this release cannot reproduce exactly'
        )
    if divisors is not None:
        if kind != "none":
            raise DataError(f'it scales RoPE twice, by "{kind}" and by {ROPE_FACTORS}, which cannot be reproduced')
        return llama3_scaling(divisors, head_dim=head_dim, theta=theta, original=original or None)
    if kind == "linear":
        return LinearScaling(factor=factor) if factor != 1.0 else None
    if kind == "yarn":
        return YarnScaling(
            factor=factor,
            original_max_position_embeddings=original or context,
            beta_fast=betas[0],
            beta_slow=betas[1],
        )
    return None


def _parts(values: GgufValues) -> dict[str, Any]:
    """What a model of the family may have or not: mostly, whether the tensors are there."""
    tensors, layers = values.header.tensors, values.num_layers()
    architecture, first = values.architecture, "model.layers.0."
    window = values.whole("attention.sliding_window", 0)
    pattern = values.flags("attention.sliding_window_pattern")
    if window and pattern is not None and len(pattern) != layers:
        raise DataError(f"its attention.sliding_window_pattern says of {len(pattern)} layers, and it has {layers}")
    sliding = range(layers) if pattern is None else np.flatnonzero(pattern).tolist()
    # A Mistral is written as a llama; with a window, or heads that do not divide the width, it cannot be one.
    hidden, heads = values.whole("embedding_length"), values.whole("attention.head_count")
    is_mistral = architecture == "llama" and (window > 0 or (heads > 0 and hidden % heads != 0))
    return {
        "model_type": "mistral" if is_mistral else architecture,
        "tie_word_embeddings": gguf_name("lm_head.weight") not in tensors,
        "qkv_bias": gguf_name(first + "self_attn.q_proj.bias") in tensors,
        "o_bias": gguf_name(first + "self_attn.o_proj.bias") in tensors,
        "mlp_bias": gguf_name(first + "mlp.gate_proj.bias") in tensors,
        "qk_norm": gguf_name(first + "self_attn.q_norm.weight") in tensors,
        "nope_layers": _nope_layers(layers) if architecture == "smollm3" else (),
        "sliding_window": window or None,
        "sliding_layers": tuple(sliding) if window else (),
    }


def _nope_layers(num_layers: int) -> tuple[int, ...]:
    return tuple(range(_NOPE_STEP - 1, num_layers, _NOPE_STEP))


def _ends_of_texts(header: Header) -> dict[str, Any]:
    num_tokens = len(header.value("tokenizer.ggml.tokens", list, []))
    stops = tokenizer_values.stop_ids(header, num_tokens)
    return {
        "bos_token_id": tokenizer_values.token_id_of(header, "bos_token_id", num_tokens),
        "eos_token_id": stops[0] if len(stops) == 1 else stops or None,
    }


def _check_writable(config: ModelConfig, architecture: str) -> None:
    expected = _nope_layers(config.num_hidden_layers) if architecture == "smollm3" else ()
    if config.nope_layers != expected:
        raise ConfigError(
            f"its layers without RoPE are {list(config.nope_layers)}, and programs take those of a {architecture} "
            f"GGUF to be {list(expected)}: this model cannot be written as one"
        )
    features = {
        "biases": architecture in {"qwen3", "smollm3"} and (config.qkv_bias or config.o_bias or config.mlp_bias),
        "Llama 3's scaling of RoPE": architecture != "llama" and isinstance(config.rope_scaling, Llama3Scaling),
        "biases and heads that are together wider or narrower than the model": config.qkv_bias
        and config.num_attention_heads * config.head_dim != config.hidden_size,
    }
    for feature, is_there in features.items():
        if is_there:
            raise ConfigError(
                f"this model has {feature}, which llama.cpp does not load from a {architecture} GGUF: it cannot be "
                "written as one"
            )
