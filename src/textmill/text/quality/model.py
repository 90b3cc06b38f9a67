"""A quality classifier: what it says of texts, and its file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base import safetensors
from textmill.base.errors import ConfigError, DataError
from textmill.text.text_batch import TextBatch

_FORMAT = "textmill-quality-1"
_WORDS = "folded-2"
_NUM_QUANTILES = 1001


@dataclass(frozen=True, slots=True, eq=False)
class QualityModel:
    """A linear model over hashed n-grams of words (see ``reference``); a score is a probability to be a good text.

    Attributes:
        weights: float32[num_buckets], calibration included.
        bias: the same.
        max_ngram: n-grams of 1 to so many words are features.
        pool_scores: float32[1001]: quantiles of the scores of held-out bad texts, the pool that good ones are chosen
            from: entry 900 is the score that 10 % of them reach.
    """

    weights: NDArray[np.float32]
    bias: float
    max_ngram: int
    pool_scores: NDArray[np.float32]

    def scores(self, texts: TextBatch, threads: int = 0) -> NDArray[np.float32]:
        """Score texts: float32[num_texts] from 0 to 1. ``threads`` 0 is one for each core, and never changes them."""
        logits = _core.linear_scores(texts.data, texts.offsets, self.weights, self.bias, self.max_ngram, threads)
        return probabilities(logits)

    def threshold_for(self, keep_share: float) -> float:
        """Return the score that a share of the pool's texts reaches, as measured on those held out in training.

        Raises:
            ConfigError: the share is not between 0 and 1.
        """
        if not 0 < keep_share < 1:
            raise ConfigError(f"keep_share is {keep_share:g}, and must be between 0 and 1, as in 0.1")
        return float(np.interp(1 - keep_share, np.linspace(0, 1, _NUM_QUANTILES), self.pool_scores))

    def save(self, path: Path) -> None:
        """Write the model, whole or not at all. Raises ``StorageError`` where it cannot be written."""
        metadata = {"format": _FORMAT, "max_ngram": str(self.max_ngram), "words": _WORDS}
        tensors = {
            "weights": self.weights,
            "bias": np.array([self.bias], np.float32),
            "pool_scores": self.pool_scores,
        }
        safetensors.save(path, tensors, metadata)

    @classmethod
    def load(cls, path: Path) -> QualityModel:
        """Read a model's file.

        Raises:
            DataError: there is none, it is damaged, no quality model, or one over other words than this release's.
        """
        metadata = safetensors.read_header(path).metadata
        if metadata.get("format") != _FORMAT:
            raise DataError(
                f"{path} is no quality model of this release (format {metadata.get('format', 'unnamed')!r:.40}, "
                f'and "{_FORMAT}" is wanted); make one with textmill data quality train'
            )
        if metadata.get("words") != _WORDS:
            raise DataError(
                f"{path} was trained over other words than those of this release "
                f"({metadata.get('words', 'unnamed')!r:.40}, and {_WORDS!r} is wanted); "
                "train it again with textmill data quality train"
            )
        tensors = safetensors.load(path)
        _check(path, tensors, metadata.get("max_ngram", ""))
        return cls(
            np.ascontiguousarray(tensors["weights"]),
            float(tensors["bias"][0]),
            int(metadata["max_ngram"]),
            tensors["pool_scores"],
        )


def quantiles(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take the 1,001 quantiles that a model keeps of the pool's scores."""
    return np.quantile(scores.astype(np.float64), np.linspace(0, 1, _NUM_QUANTILES)).astype(np.float32)


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn linear scores into probabilities, without overflow."""
    exponents = np.exp(-np.abs(logits.astype(np.float64)))
    return np.where(logits >= 0, 1 / (1 + exponents), exponents / (1 + exponents)).astype(np.float32)


def _check(path: Path, tensors: dict[str, np.ndarray], max_ngram: str) -> None:
    shapes = {name: (tensor.dtype.name, tensor.shape) for name, tensor in tensors.items()}
    num_buckets = tensors["weights"].size if "weights" in tensors else 0
    expected = {
        "weights": ("float32", (num_buckets,)),
        "bias": ("float32", (1,)),
        "pool_scores": ("float32", (_NUM_QUANTILES,)),
    }
    if shapes != expected or num_buckets < 2 or num_buckets & (num_buckets - 1):
        raise DataError(f"{path} is a damaged quality model: it holds {shapes}, and {expected} is wanted")
    if not (max_ngram.isascii() and max_ngram.isdigit() and 1 <= int(max_ngram[:3]) <= 8 and len(max_ngram) == 1):
        raise DataError(f"{path} is a damaged quality model: its max_ngram is {max_ngram!r:.20}, and goes from 1 to 8")
    if not math.isfinite(float(tensors["weights"].sum(dtype=np.float64) + tensors["bias"].sum())):
        raise DataError(f"{path} is a damaged quality model: it holds weights that are no numbers")
    quantile_steps = np.diff(tensors["pool_scores"])
    if not (quantile_steps >= 0).all() or not 0 <= tensors["pool_scores"][0] <= tensors["pool_scores"][-1] <= 1:
        raise DataError(f"{path} is a damaged quality model: its pool_scores do not rise from 0 to 1")
