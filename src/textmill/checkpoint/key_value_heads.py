"""Fewer key-value heads: those of a group become their mean, for uptraining to grouped-query attention.

arXiv:2305.13245 §2.1: mean pooling of the projections works better than taking one head of each group, or new ones.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from textmill.base.errors import ConfigError
from textmill.model.config import ModelConfig


def with_key_value_heads(config: ModelConfig, num_key_value_heads: int) -> ModelConfig:
    """Return the sizes with fewer key-value heads; raises ``ConfigError`` where the groups would not be equal."""
    before = config.num_key_value_heads
    if not 1 <= num_key_value_heads <= before or before % num_key_value_heads:
        fitting = ", ".join(str(number) for number in range(1, before + 1) if before % number == 0)
        raise ConfigError(
            f"the model has {before} key-value heads, and they cannot be pooled into {num_key_value_heads}: each new "
            f"head is the mean of the same number of old ones. Take one of {fitting}"
        )
    return dataclasses.replace(config, num_key_value_heads=num_key_value_heads)


def is_of_key_value_heads(name: str) -> bool:
    """Whether a tensor has rows for each key-value head, by its Hugging Face name: k_proj and v_proj, and biases."""
    return name.rpartition(".")[0].endswith(("self_attn.k_proj", "self_attn.v_proj"))


def pooled(values: np.ndarray, num_heads: int, head_dim: int) -> np.ndarray:
    """Take the mean of the heads of each group.

    Args:
        values: float32 [old heads * head_dim, ...], in Hugging Face's order of rows.
        num_heads: key-value heads that are to be left; queries that read one of a group's heads are neighbours.
        head_dim: size of a head.

    Returns:
        float32 [num_heads * head_dim, ...], summed in float64.
    """
    rest = values.shape[1:]
    groups = values.reshape(num_heads, -1, head_dim, *rest)
    return groups.mean(axis=1, dtype=np.float64).astype(np.float32).reshape(num_heads * head_dim, *rest)
