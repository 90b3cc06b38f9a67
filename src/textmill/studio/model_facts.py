"""A model in figures: its sizes, the memory bill, and what a token costs with and without a cache."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig
from textmill.model.estimate import WeightType, estimate
from textmill.model.flops import KvType, inference_flops_per_token, kv_cache_bytes_of
from textmill.studio.positions import told_scaling

Sharing = Literal["multi-head", "grouped-query", "multi-query"]


def told_config(config: ModelConfig) -> dict[str, Any]:
    """A model's sizes by Hugging Face's names, and what follows from them."""
    layers = range(config.num_hidden_layers)
    table = dataclasses.asdict(config) | {"rope_scaling": told_scaling(config.rope_scaling)}
    return {
        "num_parameters": config.num_parameters,
        "config": table,
        "attention": sharing_of(config),
        "queries_per_key_value_head": config.queries_per_key_value_head,
        "windows": [config.window_of(layer) for layer in layers],
        "rotates": [config.rotates(layer) for layer in layers],
    }


def sharing_of(config: ModelConfig) -> Sharing:
    """What it is called that query heads share keys and values as they do (arXiv:2305.13245)."""
    if config.num_key_value_heads == config.num_attention_heads:
        return "multi-head"
    return "multi-query" if config.num_key_value_heads == 1 else "grouped-query"


def memory_bill(
    config: ModelConfig,
    *,
    context: int | None = None,
    batch: int = 1,
    weights: WeightType = "bf16",
    kv: KvType = "bf16",
    num_key_value_heads: int | None = None,
) -> dict[str, Any]:
    """What a batch of texts takes, and what each token of one costs.

    Args:
        config: the model's sizes.
        context: tokens of each text; what the model was made for unless given.
        batch: texts at once.
        weights, kv: types.
        num_key_value_heads: in the place of the model's own.

    Raises:
        ConfigError: for a number out of its range.
    """
    if num_key_value_heads is not None:
        config = dataclasses.replace(config, num_key_value_heads=num_key_value_heads)
    context = config.max_position_embeddings if context is None else context
    for name, value, most in (("context", context, 1 << 24), ("batch", batch, 1 << 16)):
        if not 1 <= value <= most:
            raise ConfigError(f"{name} is {value:,}, and must be 1 to {most:,}")
    bill = estimate(config, weights=weights, kv=kv, context=context, batch=batch)
    return {
        "context": context,
        "batch": batch,
        "weights": weights,
        "kv": kv,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "num_layers": config.num_hidden_layers,
        "head_dim": config.head_dim,
        "weight_bytes": bill.weight_bytes,
        "copy_bytes": bill.copy_bytes,
        "kv_bytes_per_token": bill.kv_bytes_per_token,
        "kv_bytes_per_token_and_layer": bill.kv_bytes_per_token // config.num_hidden_layers,
        "kv_bytes": bill.kv_bytes,
        "total_bytes": bill.total_bytes,
        "read_bytes_per_step": bill.step_bytes(context),
        "flops_per_token": bill.decode_flops,
        "steps": _steps(config, context, weights, kv),
        "choices": [_choice(config, number, kv) for number in _divisors(config.num_attention_heads)],
    }


def _steps(config: ModelConfig, context: int, weights: WeightType, kv: KvType) -> dict[str, list[int]]:
    """What the next token costs after so many: powers of two up to the context, and the context."""
    tokens = [1 << power for power in range(int(math.log2(context)) + 1)]
    tokens = [*tokens, context] if tokens[-1] != context else tokens
    one = estimate(config, weights=weights, kv=kv, context=context)
    return {
        "tokens": tokens,
        "flops_with_cache": [inference_flops_per_token(config, number) for number in tokens],
        # Token i of the text sees i tokens, so the mean over the text is that of its middle.
        "flops_without_cache": [number * inference_flops_per_token(config, (number + 1) // 2) for number in tokens],
        "bytes_read_with_cache": [one.step_bytes(number) for number in tokens],
        "keys_computed_without_cache": tokens,
    }


def _choice(config: ModelConfig, number: int, kv: KvType) -> dict[str, Any]:
    other = dataclasses.replace(config, num_key_value_heads=number)
    return {
        "num_key_value_heads": number,
        "name": sharing_of(other),
        "kv_bytes_per_token": kv_cache_bytes_of(other, 1, kv),
    }


def _divisors(number: int) -> list[int]:
    return [candidate for candidate in range(number, 0, -1) if number % candidate == 0]
