"""RoPE's scaling in a GGUF: values for linear and YaRN, and a tensor of divisors for Llama 3's.

The file does not say what the divisors were made of. The parameters are found again from them, and taken only where
they give the same divisors.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textmill.base.errors import ConfigError, DataError
from textmill.model.config import ModelConfig
from textmill.model.rope_scaling import LinearScaling, Llama3Scaling, RopeScaling, YarnScaling, rope_frequencies

# The divisors come from arithmetic in float32, where a long sum of roundings is some 1e-6.
_TOLERANCE = 1e-5
_USUAL = (1.0, 4.0)  # low_freq_factor and high_freq_factor of every Llama
_USUAL_ORIGINAL = 8192


def scaling_values(scaling: RopeScaling | None, architecture: str) -> dict[str, Any]:
    """Return the values that say how RoPE is scaled; raises ``ConfigError`` for what GGUF cannot say."""
    prefix = f"{architecture}.rope.scaling."
    if isinstance(scaling, LinearScaling):
        return {f"{prefix}type": "linear", f"{prefix}factor": float(scaling.factor)}
    if isinstance(scaling, Llama3Scaling):
        return {f"{prefix}original_context_length": scaling.original_max_position_embeddings}
    if isinstance(scaling, YarnScaling):
        _check_yarn(scaling)
        return {
            f"{prefix}type": "yarn",
            f"{prefix}factor": float(scaling.factor),
            f"{prefix}original_context_length": scaling.original_max_position_embeddings,
            f"{prefix}yarn_beta_fast": float(scaling.beta_fast),
            f"{prefix}yarn_beta_slow": float(scaling.beta_slow),
        }
    return {}


def rope_divisors(config: ModelConfig) -> NDArray[np.float32] | None:
    """Return what each frequency is divided by, float32[head_dim / 2], for the one kind of scaling that GGUF lists."""
    if not isinstance(config.rope_scaling, Llama3Scaling):
        return None
    return _divisors(config.rope_scaling, config.head_dim, config.rope_theta).astype(np.float32)


def llama3_scaling(
    divisors: NDArray[np.float32], *, head_dim: int, theta: float, original: int | None
) -> Llama3Scaling | None:
    """Find the parameters that give these divisors; None where all are 1.

    Args:
        divisors: float32[head_dim / 2].
        head_dim, theta: of the model.
        original: the context before scaling, where the file says it.

    Raises:
        DataError: there are none.
    """
    if divisors.shape != (head_dim // 2,):
        raise DataError(f"its rope_freqs.weight has the shape {divisors.shape}, and must have {(head_dim // 2,)}")
    if np.array_equal(divisors, np.ones_like(divisors)):
        return None
    # Longer waves, which come later, are divided by no less.
    if _are_possible(divisors, theta):
        for candidate in _candidates(divisors.astype(np.float64), head_dim, theta, original):
            if np.allclose(_divisors(candidate, head_dim, theta), divisors, rtol=_TOLERANCE, atol=0):
                return candidate
    raise DataError(
        "its rope_freqs.weight holds divisors of RoPE's frequencies that are not those of Llama 3's scaling, and no "
        "other can be reproduced exactly"
    )


def _are_possible(divisors: NDArray[np.float32], theta: float) -> bool:
    """Whether they are numbers from 1 on, and longer waves, which come later, are divided by no less."""
    least = 1 - _TOLERANCE
    return bool(
        np.isfinite(divisors).all()
        and (divisors >= least).all()
        and theta > 1
        and (divisors[1:] >= divisors[:-1] * least).all()
    )


def _check_yarn(scaling: YarnScaling) -> None:
    if not scaling.truncate:
        raise ConfigError("YaRN with truncate = false cannot be written as GGUF, which has no value for it")
    shortest = math.ceil(2 * math.pi * scaling.beta_slow)
    if scaling.original_max_position_embeddings < shortest:
        raise ConfigError(
            f"YaRN from a context of {scaling.original_max_position_embeddings} tokens cannot be written as GGUF: from "
            f"less than {shortest} llama.cpp and transformers scale otherwise"
        )
    default = dataclasses.replace(scaling, attention_factor=None, mscale=None, mscale_all_dim=None)
    factors = [_attention_factor(each) for each in (scaling, default)]
    if not math.isclose(*factors, rel_tol=1e-7):
        raise ConfigError(
            f"YaRN with an attention factor of {factors[0]:g} cannot be written as GGUF, from which programs make "
            f"{factors[1]:g}"
        )


def _attention_factor(scaling: YarnScaling) -> float:
    return rope_frequencies(_one_head(2, 10_000.0, scaling))[1]


def _divisors(scaling: Llama3Scaling, head_dim: int, theta: float) -> NDArray[np.float64]:
    plain, _ = rope_frequencies(_one_head(head_dim, theta, None))
    scaled, _ = rope_frequencies(_one_head(head_dim, theta, scaling))
    return plain.astype(np.float64) / scaled


def _one_head(head_dim: int, theta: float, scaling: RopeScaling | None) -> ModelConfig:
    """A model of one head: RoPE depends on nothing else."""
    return ModelConfig(
        vocab_size=1,
        hidden_size=1,
        intermediate_size=1,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=head_dim,
        rope_theta=theta,
        rope_scaling=scaling,
    )


def _candidates(
    divisors: NDArray[np.float64], head_dim: int, theta: float, original: int | None
) -> Iterator[Llama3Scaling]:
    """Parameters that may have been meant: the usual ones, those of the ramp rounded, those of the ramp."""
    factor = _rounded(float(divisors.max()), 4, within=1e-6)
    tokens = original or _USUAL_ORIGINAL
    plain, _ = rope_frequencies(_one_head(head_dim, theta, None))
    low, high = _ends_of_ramp(divisors, factor, plain.astype(np.float64) * tokens / (2 * math.pi))
    ends = [(*_USUAL, tokens)]
    if 0 < low < high:
        if not original:  # where low_freq_factor is 1
            ends.append((1.0, _rounded(high / low, 2), round(tokens / low)))
        ends += [(_rounded(low, 2), _rounded(high, 2), tokens), (low, high, tokens)]
    for low, high, tokens in ends:
        try:
            yield Llama3Scaling(
                factor=factor, low_freq_factor=low, high_freq_factor=high, original_max_position_embeddings=tokens
            )
        except ConfigError:
            continue


def _ends_of_ramp(divisors: NDArray[np.float64], factor: float, waves: NDArray[np.float64]) -> tuple[float, float]:
    """Find low_freq_factor and high_freq_factor: where the ramp over the waves in the original context ends.

    How much of a frequency is kept is a line between them, 0 below and 1 above. With fewer than two frequencies on
    the line, any ends that leave the others outside do.
    """
    kept = (1 / divisors - 1 / factor) / (1 - 1 / factor)
    # The nearer the factor is to 1, the larger a rounding of the divisors is beside what they tell.
    tolerance = min(0.25, _TOLERANCE / (1 - 1 / factor))
    is_between = (kept > tolerance) & (kept < 1 - tolerance)
    if is_between.sum() > 1:
        slope, start = np.polyfit(waves[is_between], kept[is_between], 1)
        return (float(-start / slope), float((1 - start) / slope)) if slope > 0 else (0.0, 0.0)
    middle = float(waves[is_between][0]) if is_between.any() else None
    short, long = waves[kept >= 1 - tolerance], waves[kept <= tolerance]
    upper = float(short.min()) if short.size else 2 * float(waves.max())
    lower = float(long.max()) if long.size else float(waves.min()) / 2
    if middle is None:
        return lower, upper
    part = float(kept[is_between][0])
    width = min((upper - middle) / (1 - part), (middle - lower) / part)
    return middle - part * width, middle + (1 - part) * width


def _rounded(value: float, digits: int, within: float = 1e-3) -> float:
    """A number as somebody wrote it, where it is as good as that."""
    rounded = round(value, digits)
    return rounded if math.isclose(rounded, value, rel_tol=within) else value
