"""Sizes of models that people speak of by name, to reckon with before any file is there."""

from __future__ import annotations

from typing import Any

from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import Llama3Scaling


def _llama(num_layers: int, width: int, feed_forward: int, heads: int) -> dict[str, Any]:
    """LLaMA, by arXiv:2302.13971 table 2; the feed-forward widths are those of the published weights."""
    return {
        "vocab_size": 32_000,
        "hidden_size": width,
        "intermediate_size": feed_forward,
        "num_hidden_layers": num_layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": width // heads,
        "max_position_embeddings": 2048,
    }


def _smollm2(num_layers: int, width: int, feed_forward: int, heads: int, key_value_heads: int) -> dict[str, Any]:
    """SmolLM2, arXiv:2502.02737."""
    return _llama(num_layers, width, feed_forward, heads) | {
        "vocab_size": 49_152,
        "num_key_value_heads": key_value_heads,
        "max_position_embeddings": 8192,
        "rope_theta": 100_000.0,
        "tie_word_embeddings": True,
    }


_PRESETS: dict[str, dict[str, Any]] = {
    "llama-7b": _llama(32, 4096, 11_008, 32),
    "llama-13b": _llama(40, 5120, 13_824, 40),
    "llama-33b": _llama(60, 6656, 17_920, 52),
    "llama-65b": _llama(80, 8192, 22_016, 64),
    "llama-3.1-8b": _llama(32, 4096, 14_336, 32)
    | {
        "vocab_size": 128_256,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131_072,
        "rope_theta": 500_000.0,
        "rope_scaling": Llama3Scaling(
            factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192
        ),
    },
    "tinyllama-1.1b": _llama(22, 2048, 5632, 32) | {"num_key_value_heads": 4},
    "smollm2-135m": _smollm2(30, 576, 1536, 9, 3),
    "smollm2-360m": _smollm2(32, 960, 2560, 15, 5),
    "smollm2-1.7b": _smollm2(24, 2048, 8192, 32, 32) | {"rope_theta": 130_000.0},
    "mistral-7b": _llama(32, 4096, 14_336, 32)
    | {
        "model_type": "mistral",
        "num_key_value_heads": 8,
        "max_position_embeddings": 32_768,
        "sliding_window": 4096,
        "sliding_layers": tuple(range(32)),
    },
    "qwen2.5-0.5b": _llama(24, 896, 4864, 14)
    | {
        "model_type": "qwen2",
        "vocab_size": 151_936,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32_768,
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
        "qkv_bias": True,
    },
    "qwen3-0.6b": _llama(28, 1024, 3072, 16)
    | {
        "model_type": "qwen3",
        "vocab_size": 151_936,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 40_960,
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
        "qk_norm": True,
    },
}
NAMES = tuple(_PRESETS)
"""The names there are."""


def preset(name: str) -> ModelConfig:
    """The sizes of a model by one of ``NAMES``."""
    return ModelConfig(**_PRESETS[name])
