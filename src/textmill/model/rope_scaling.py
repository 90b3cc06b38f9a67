"""RoPE beyond the context that a model was trained on: which frequencies its angles grow with.

Each kind is plain data under Hugging Face's names; ``rope_frequencies`` is all of the arithmetic, in numpy, for every
way to run a model.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from textmill.base.errors import ConfigError
from textmill.model.ranges import SIZES, check_bool, check_number, check_whole

if TYPE_CHECKING:
    from textmill.model.config import ModelConfig

_FACTOR_MAX = 1e6


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LinearScaling:
    """Every frequency divided by ``factor``: positions are squeezed together (arXiv:2306.15595 §2.3)."""

    factor: float

    def __post_init__(self) -> None:
        _check_factor(self.factor)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Llama3Scaling:
    """Llama 3.1's: long waves divided by ``factor``, short ones as they are, a ramp in between.

    A wave is short where more than ``high_freq_factor`` of it fit into ``original_max_position_embeddings`` tokens,
    and long where fewer than ``low_freq_factor`` do.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int

    def __post_init__(self) -> None:
        _check_factor(self.factor)
        check_original_context(self.original_max_position_embeddings)
        check_number("rope_scaling.low_freq_factor", self.low_freq_factor, 1e-6, 1e9)
        check_number("rope_scaling.high_freq_factor", self.high_freq_factor, 1e-6, 1e9)
        if not self.low_freq_factor < self.high_freq_factor:
            raise ConfigError(
                f"rope_scaling.low_freq_factor is {self.low_freq_factor:g}, and must be less than high_freq_factor "
                f"({self.high_freq_factor:g}): between them lies the ramp"
            )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class YarnScaling:
    """YaRN (arXiv:2309.00071 §3): a ramp over the pairs of a head, and sharper attention.

    Pairs that turn more than ``beta_fast`` times in ``original_max_position_embeddings`` tokens stay as they are,
    those that turn less than ``beta_slow`` times are divided by ``factor``; ``truncate`` rounds the ramp's ends
    outwards to whole pairs. Cosines and sines are multiplied by ``attention_factor``, which unless given follows
    from ``factor`` (and from ``mscale`` and ``mscale_all_dim``, where both are given and not 0).
    """

    factor: float
    original_max_position_embeddings: int
    attention_factor: float | None = None
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float | None = None
    mscale_all_dim: float | None = None
    truncate: bool = True

    def __post_init__(self) -> None:
        _check_factor(self.factor)
        check_original_context(self.original_max_position_embeddings)
        check_number("rope_scaling.beta_fast", self.beta_fast, 1e-6, 1e9)
        check_number("rope_scaling.beta_slow", self.beta_slow, 1e-6, 1e9)
        if self.beta_slow > self.beta_fast:
            raise ConfigError(
                f"rope_scaling.beta_slow is {self.beta_slow:g}, and must not be more than beta_fast "
                f"({self.beta_fast:g}): pairs that turn slowly are those that are scaled"
            )
        for name in ("attention_factor", "mscale", "mscale_all_dim"):
            if getattr(self, name) is not None:
                check_number(f"rope_scaling.{name}", getattr(self, name), 0.0, 1e3)
        check_bool("rope_scaling.truncate", self.truncate)


RopeScaling: TypeAlias = LinearScaling | Llama3Scaling | YarnScaling


def rope_frequencies(config: ModelConfig) -> tuple[np.ndarray, float]:
    """How far each pair of a head turns from one position to the next, and what cosines and sines are multiplied by.

    Returns:
        Radians a position, float32 [head_dim / 2], rounded once from float64; and the factor, 1.0 but for YaRN.
    """
    plain = float(config.rope_theta) ** (-np.arange(0, config.head_dim, 2) / config.head_dim)
    match config.rope_scaling:
        case None:
            return plain.astype(np.float32), 1.0
        case LinearScaling() as scaling:
            return (plain / scaling.factor).astype(np.float32), 1.0
        case Llama3Scaling() as scaling:
            kept = _kept_by_llama3(scaling, plain)
        case YarnScaling() as scaling:
            kept = _kept_by_yarn(scaling, config.head_dim, config.rope_theta)
    scaled = plain / scaling.factor * (1 - kept) + plain * kept
    factor = _attention_factor(scaling) if isinstance(scaling, YarnScaling) else 1.0
    return scaled.astype(np.float32), factor


def _kept_by_llama3(scaling: Llama3Scaling, plain: np.ndarray) -> np.ndarray:
    """Where each frequency stands on the ramp, from 0 (divided) to 1 (as it is)."""
    waves = scaling.original_max_position_embeddings * plain / (2 * math.pi)
    ramp = (waves - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    return np.clip(ramp, 0.0, 1.0)


def _kept_by_yarn(scaling: YarnScaling, head_dim: int, theta: float) -> np.ndarray:
    """Where each pair stands on the ramp, from 0 (divided) to 1 (as it is)."""

    def pair_that_turns(times: float) -> float:
        """The pair, as a fraction, that turns so many times in the original context (§3.2, equation 15 solved)."""
        wave = scaling.original_max_position_embeddings / (times * 2 * math.pi)
        return head_dim * math.log(wave) / (2 * math.log(theta))

    first, last = pair_that_turns(scaling.beta_fast), pair_that_turns(scaling.beta_slow)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    width = last - first if last != first else 0.001  # the ramp of a single point, as wide as transformers makes it
    return 1 - np.clip((np.arange(head_dim // 2) - first) / width, 0.0, 1.0)


def _attention_factor(scaling: YarnScaling) -> float:
    """The root of the temperature of attention's softmax (§3.3, equation 22)."""
    if scaling.attention_factor is not None:
        return float(scaling.attention_factor)

    def sharpness(mscale: float) -> float:
        return 0.1 * mscale * math.log(scaling.factor) + 1.0 if scaling.factor > 1 else 1.0

    if scaling.mscale and scaling.mscale_all_dim:
        return sharpness(scaling.mscale) / sharpness(scaling.mscale_all_dim)
    return sharpness(1.0)


def _check_factor(factor: float) -> None:
    check_number("rope_scaling.factor", factor, 1.0, _FACTOR_MAX)


def check_original_context(num_tokens: int) -> None:
    """Raise ``ConfigError`` unless a model can have been trained on so many tokens before its RoPE was scaled."""
    check_whole("rope_scaling.original_max_position_embeddings", num_tokens, *SIZES["max_position_embeddings"])
