"""What a token costs: floating-point operations in training and inference, and bytes of KV cache."""

from __future__ import annotations

from typing import Literal

from textmill.model.config import ModelConfig

KvType = Literal["f32", "bf16", "f16", "int8"]

_KV_BYTES: dict[KvType, int] = {"f32": 4, "bf16": 2, "f16": 2, "int8": 1}
_KV_SCALE_BYTES = 4  # of int8: a float32 for each token's key and each value of a head


def training_flops_per_token(config: ModelConfig, context: int) -> int:
    """Floating-point operations to train on a token: 6 (parameters - tables) + 12 layers x width x context.

    Each parameter of a matrix product costs 2 operations forward and 4 backward; looking a row up in a table, the input
    table or one of value embeddings, costs none. Attention's two products cost ``2 * 2 * heads * head_dim * context`` a
    layer forward and twice that backward, the causal half not taken off. ``width`` is heads x head_dim. This is what
    nanochat and torchtitan count, so figures of MFU compare. A tied table is the head's matrix too, and counts as such.
    """
    return 3 * inference_flops_per_token(config, context)


def inference_flops_per_token(config: ModelConfig, context: int) -> int:
    """Floating-point operations of a token's forward pass over ``context`` tokens: a third of training's.

    A layer with a sliding window attends to no more tokens than that.
    """
    attention_width = config.num_attention_heads * config.head_dim
    num_sliding = len(config.sliding_layers)
    seen = (config.num_hidden_layers - num_sliding) * context
    seen += num_sliding * min(context, config.sliding_window or context)
    return 2 * matrix_parameters(config) + 4 * attention_width * seen


def matrix_parameters(config: ModelConfig) -> int:
    """Parameters that every token is multiplied with: all but value embeddings and an input table that is no head."""
    input_table = 0 if config.tie_word_embeddings else config.vocab_size * config.hidden_size
    return config.num_parameters - input_table - config.num_value_embedding_parameters


def kv_cache_bytes(config: ModelConfig, num_tokens: int, bytes_per_value: int = 2) -> int:
    """Bytes of keys and values of ``num_tokens`` tokens: 2 x layers x key-value heads x head_dim x bytes x tokens.

    Sliding windows bound what is read, and not this: every layer keeps all tokens.
    """
    per_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * bytes_per_value
    return per_token * num_tokens


def kv_cache_bytes_of(config: ModelConfig, num_tokens: int, kv: KvType) -> int:
    """Bytes of keys and values of ``num_tokens`` tokens kept as ``kv``; int8 has a scale for each head's key and value.

    The scales are float32, 2 x layers x key-value heads x 4 bytes for each token.
    """
    scales = 2 * config.num_hidden_layers * config.num_key_value_heads * _KV_SCALE_BYTES if kv == "int8" else 0
    return kv_cache_bytes(config, num_tokens, _KV_BYTES[kv]) + scales * num_tokens
