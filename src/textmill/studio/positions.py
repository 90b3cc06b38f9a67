"""RoPE by frequency pair: how fast each turns, before and after scaling."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from textmill.base.errors import ConfigError, did_you_mean
from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import LinearScaling, Llama3Scaling, RopeScaling, YarnScaling, rope_frequencies

KINDS: dict[str, type[RopeScaling]] = {"linear": LinearScaling, "llama3": Llama3Scaling, "yarn": YarnScaling}


def positions_of(config: ModelConfig) -> dict[str, Any]:
    """What a model's own positions are, pair by pair."""
    plain, _ = rope_frequencies(dataclasses.replace(config, rope_scaling=None))
    frequencies, attention_factor = rope_frequencies(config)
    half = config.head_dim // 2
    wavelengths = 2 * math.pi / frequencies.astype(np.float64)
    return {
        "head_dim": config.head_dim,
        "rope_theta": config.rope_theta,
        "context": config.max_position_embeddings,
        "scaling": told_scaling(config.rope_scaling),
        "attention_factor": attention_factor,
        "rotates": [config.rotates(layer) for layer in range(config.num_hidden_layers)],
        "pairs": {
            "index": list(range(half)),
            "dims": [[pair, pair + half] for pair in range(half)],
            "plain_frequency": plain.tolist(),
            "frequency": frequencies.tolist(),
            "plain_wavelength": (2 * math.pi / plain.astype(np.float64)).tolist(),
            "wavelength": wavelengths.tolist(),
            "divided_by": (plain.astype(np.float64) / frequencies).tolist(),
            "turns_in_context": (config.max_position_embeddings / wavelengths).tolist(),
        },
    }


def positions_of_numbers(
    *, head_dim: int, rope_theta: float, context: int, scaling: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The same of any numbers; raises ``ConfigError`` for those out of range."""
    config = ModelConfig(
        vocab_size=256,
        hidden_size=head_dim,
        intermediate_size=head_dim,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=head_dim,
        max_position_embeddings=context,
        rope_theta=rope_theta,
        rope_scaling=None if scaling is None else scaling_of(scaling),
    )
    return positions_of(config)


def scaling_of(table: Mapping[str, Any]) -> RopeScaling:
    """A scaling from its kind and its numbers; raises ``ConfigError``."""
    numbers = dict(table)
    kind = numbers.pop("kind", None)
    if kind not in KINDS:
        guess = did_you_mean(kind, KINDS) if isinstance(kind, str) else "."
        raise ConfigError(f"scaling.kind is {kind!r}{guess} It may be {', '.join(KINDS)}")
    fields = {field.name: field for field in dataclasses.fields(KINDS[kind])}
    for name in numbers:
        if name not in fields:
            raise ConfigError(f'scaling has "{name}", which {kind} does not know; it has {", ".join(fields)}')
    missing = [n for n, field in fields.items() if field.default is dataclasses.MISSING and n not in numbers]
    if missing:
        raise ConfigError(f"scaling lacks {missing[0]}, which {kind} needs")
    return KINDS[kind](**numbers)


def told_scaling(scaling: RopeScaling | None) -> dict[str, Any] | None:
    """A scaling as its kind and its numbers."""
    if scaling is None:
        return None
    kind = next(name for name, cls in KINDS.items() if isinstance(scaling, cls))
    return {"kind": kind, **dataclasses.asdict(scaling)}
