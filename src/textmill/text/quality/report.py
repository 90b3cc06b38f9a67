"""How well a quality classifier tells good texts from bad ones, on texts that it has not seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
_NUM_BINS = 10


@dataclass(frozen=True, slots=True)
class ThresholdRow:
    """What a threshold would keep: shares of all texts, of the good and of the bad ones."""

    min_score: float
    kept: float
    kept_good: float
    kept_bad: float


@dataclass(frozen=True, slots=True)
class QualityReport:
    """A classifier on held-out texts.

    Attributes:
        num_trained: documents that it was trained on.
        num_tested: documents that these figures are about; those that calibrated it are not among them.
        accuracy: share told right at a score of 0.5.
        auc: probability that a good text has a higher score than a bad one.
        calibration_error: mean difference of score and truth over ten bins of scores, weighted by their texts.
        thresholds: what each score would keep.
    """

    num_trained: int
    num_tested: int
    accuracy: float
    auc: float
    calibration_error: float
    thresholds: tuple[ThresholdRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON holds it."""
        return asdict(self)


def report_on(scores: NDArray[np.float32], labels: NDArray[np.uint8], num_trained: int) -> QualityReport:
    """Measure scores, float32[n], against labels, uint8[n] (1 is good); both kinds must be among them."""
    good, bad = scores[labels == 1], scores[labels == 0]
    rows = tuple(
        ThresholdRow(score, *(float(np.mean(some >= np.float32(score))) for some in (scores, good, bad)))
        for score in _THRESHOLDS
    )
    accuracy = float(np.mean((scores >= np.float32(0.5)) == (labels == 1)))
    return QualityReport(num_trained, len(scores), accuracy, auc(good, bad), _calibration_error(scores, labels), rows)


def auc(good: NDArray[np.float32], bad: NDArray[np.float32]) -> float:
    """Return the probability that a good text's score is higher than a bad one's, ties counting half."""
    ordered = np.sort(bad)
    below = np.searchsorted(ordered, good, "left") + np.searchsorted(ordered, good, "right")
    return float(below.sum() / (2 * len(good) * len(bad)))


def _calibration_error(scores: NDArray[np.float32], labels: NDArray[np.uint8]) -> float:
    bins = np.minimum((scores * _NUM_BINS).astype(np.int64), _NUM_BINS - 1)
    differences = np.bincount(bins, weights=scores - labels.astype(np.float64), minlength=_NUM_BINS)
    return float(np.abs(differences).sum() / len(scores))
