"""Training a quality classifier on good and bad texts, as DCLM (arXiv:2406.11794 §4.4) and FineWeb-Edu make theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from textmill import _core
from textmill.base.errors import DataError
from textmill.text.quality.model import QualityModel, probabilities, quantiles
from textmill.text.quality.report import QualityReport, report_on
from textmill.text.quality.settings import QualitySettings
from textmill.text.text_batch import TextBatch

MIN_DOCUMENTS = 20
"""Of each kind: fewer leave nothing to calibrate and to test with."""
_TRAIN, _CALIBRATE, _TEST = 0, 1, 2
_NEWTON_STEPS = 50


def train_quality_model(
    good: TextBatch,
    bad: TextBatch,
    settings: QualitySettings | None = None,
    *,
    threads: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[QualityModel, QualityReport]:
    """Train a classifier that gives good texts a high score; the same texts and settings give the same bytes.

    Both kinds count alike, however many there are of each.

    Args:
        good: texts to be like.
        bad: texts to be unlike: best a sample of the pool that is to be filtered, which ``threshold_for`` relies on.
        settings: the defaults unless given.
        threads: for hashing; 0 is one for each core.
        progress: gets the number of epochs that are done.

    Raises:
        DataError: there are fewer than 20 documents of a kind, or one has no text at all.
    """
    settings = settings or QualitySettings()
    for name, texts in (("good", good), ("bad", bad)):
        if len(texts) < MIN_DOCUMENTS or texts.num_bytes == 0:
            raise DataError(
                f"there are {len(texts)} {name} documents with {texts.num_bytes:,} bytes, and at least {MIN_DOCUMENTS} "
                "with text are needed: some train, some calibrate, some test"
            )
    texts = TextBatch.joined([good, bad])
    labels = np.repeat(np.array([1, 0], np.uint8), [len(good), len(bad)])
    parts = _split(texts, labels, settings)
    features = _core.hashed_ngrams(texts.data, texts.offsets, settings.num_buckets, settings.max_ngram, threads)
    weights, bias = _fit(features, labels, np.flatnonzero(parts == _TRAIN), settings)
    progress(settings.epochs)
    raw = _core.linear_scores(texts.data, texts.offsets, weights, bias, settings.max_ngram, threads)
    slope, offset = calibrate(raw[parts == _CALIBRATE], labels[parts == _CALIBRATE])
    logits = (raw.astype(np.float64) * slope + offset).astype(np.float32)
    held_out_bad = (parts != _TRAIN) & (labels == 0)
    model = QualityModel(
        (weights * np.float32(slope)).astype(np.float32),
        float(np.float32(bias * slope + offset)),
        settings.max_ngram,
        quantiles(probabilities(logits[held_out_bad])),
    )
    scores = model.scores(texts.select(parts == _TEST), threads)
    return model, report_on(scores, labels[parts == _TEST], int(np.count_nonzero(parts == _TRAIN)))


def _split(texts: TextBatch, labels: NDArray[np.uint8], settings: QualitySettings) -> NDArray[np.uint8]:
    """Say of each text whether it trains, calibrates or tests, by hash of the text: equal texts go together."""
    salt = settings.seed.to_bytes(8, "little", signed=True)
    digests = [hashlib.blake2b(text, digest_size=8, salt=salt).digest() for text in texts]
    places = np.frombuffer(b"".join(digests), "<u8") / 2**64
    parts = np.full(len(texts), _TRAIN, np.uint8)
    parts[places < settings.held_out] = _CALIBRATE
    parts[places < settings.held_out / 2] = _TEST
    for label, name in enumerate(("bad", "good")):
        counts = np.bincount(parts[labels == label], minlength=3)
        if not counts.all():
            raise DataError(
                f"of {counts.sum()} {name} documents {counts[_TRAIN]} would train, {counts[_CALIBRATE]} calibrate and "
                f"{counts[_TEST]} test: give more that differ, or another held_out than {settings.held_out:g}"
            )
    return parts


def _fit(
    features: tuple[NDArray[np.int64], NDArray[np.uint32]],
    labels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    settings: QualitySettings,
) -> tuple[NDArray[np.float32], float]:
    """Fit the weights in one go, the rows in another order in each epoch."""
    num_of_kind = np.bincount(labels[rows], minlength=2)
    return _core.fit_logistic(
        *features,
        labels,
        (len(rows) / (2 * num_of_kind))[labels].astype(np.float32),
        np.concatenate([epoch_order(rows, settings.seed, epoch) for epoch in range(settings.epochs)]),
        num_buckets=settings.num_buckets,
        learning_rate=settings.learning_rate,
        l2=settings.l2,
    )


def epoch_order(rows: NDArray[np.int64], seed: int, epoch: int) -> NDArray[np.int64]:
    """Put rows into an order that seed and epoch decide: ascending by a hash of their numbers (SplitMix64)."""
    with np.errstate(over="ignore"):
        state = rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state += np.uint64(seed % 2**64) * np.uint64(0xD1B54A32D192ED03) + np.uint64(epoch + 1)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return rows[np.argsort(state ^ (state >> np.uint64(31)), kind="stable")]


def calibrate(raw: NDArray[np.float32], labels: NDArray[np.uint8]) -> tuple[float, float]:
    """Find slope and offset that turn linear scores into log odds (Platt, 1999): float, float.

    Both kinds count alike, with Platt's targets, which keep the slope finite where scores tell all apart.
    """
    num_good, num_bad = np.count_nonzero(labels == 1), np.count_nonzero(labels == 0)
    targets = np.where(labels == 1, (num_good + 1) / (num_good + 2), 1 / (num_bad + 2))
    counts = np.where(labels == 1, 1 / (2 * num_good), 1 / (2 * num_bad))
    values = np.stack([raw.astype(np.float64), np.ones(len(raw))])
    found: NDArray[np.float64] = np.array([1.0, 0.0])

    def loss(candidate: NDArray[np.float64]) -> float:
        logits = candidate @ values
        return float((counts * (np.logaddexp(0, logits) - targets * logits)).sum())

    for _ in range(_NEWTON_STEPS):
        predicted = 1 / (1 + np.exp(-np.clip(found @ values, -500, 500)))
        gradient = values @ (counts * (predicted - targets))
        curvature = (values * (counts * predicted * (1 - predicted))) @ values.T + 1e-12 * np.eye(2)
        step: NDArray[np.float64] = np.linalg.solve(curvature, gradient).astype(np.float64)
        while loss(found - step) > loss(found) and np.abs(step).max() > 1e-12:
            step /= 2
        found = found - step
        if np.abs(step).max() < 1e-9:
            break
    slope, offset = found.tolist()
    if slope <= 0:
        raise DataError(
            "good and bad documents cannot be told apart: held-out scores are no better than chance "
            f"(slope {slope:.3g}). Give more documents, or kinds that differ"
        )
    return slope, offset
