"""The classifier in plain Python and numpy: what the native code is tested against.

tokens    words as matching sees them (``reference_words.folded_words``), and runs of one and the same other
          character that is no space
features  the distinct n-grams of tokens, for n from 1 to ``max_ngram``; the native code hashes them into buckets
logit     bias + sum of the features' weights / square root of their number
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from textmill.text.reference_words import folded_words

_SMALL = np.float64(1e-8)


def tokens_of(text: str) -> list[str]:
    """Split a text into words and runs of a symbol."""
    words = {word.begin: word for word in folded_words(text)}
    tokens, at = [], 0
    while at < len(text):
        character = text[at]
        if at in words:
            tokens.append(words[at].folded)
            at = words[at].end
        elif (character.isspace() and character not in "\x1c\x1d\x1e\x1f") or unicodedata.category(character) in (
            "Mn",
            "Mc",
            "Me",
            "Cf",
        ):
            at += 1
        else:
            end = at + 1
            while end < len(text) and text[end] == character:
                end += 1
            tokens.append(f"symbol {character}")
            at = end
    return tokens


def features_of(text: str, max_ngram: int) -> list[tuple[str, ...]]:
    """Return the distinct n-grams in the order in which their last token comes, shorter ones first."""
    tokens = tokens_of(text)
    grams = (
        tuple(tokens[end - n : end]) for end in range(1, len(tokens) + 1) for n in range(1, min(max_ngram, end) + 1)
    )
    return list(dict.fromkeys(grams))


def fit_logistic(
    rows: Sequence[NDArray[np.uint32]],
    labels: NDArray[np.uint8],
    row_weights: NDArray[np.float32],
    order: NDArray[np.int64],
    *,
    num_buckets: int,
    learning_rate: float,
    l2: float,
) -> tuple[NDArray[np.float32], float]:
    """AdaGrad over rows of buckets, a row at a time; weights float32[num_buckets], and the bias."""
    weights, squares = (np.zeros(num_buckets + 1, np.float32) for _ in range(2))  # the last is the bias
    for number in order:
        row = rows[number].astype(np.int64)
        scale = 1 / math.sqrt(len(row)) if len(row) else 1.0
        logit = float(weights[-1]) + float(np.cumsum(weights[row], dtype=np.float64)[-1] if len(row) else 0) * scale
        error = float(row_weights[number]) * (1 / (1 + math.exp(-logit)) - float(labels[number]))
        places = np.append(row, num_buckets)
        gradients = np.append(error * scale + l2 * weights[row].astype(np.float64), error)
        squares[places] = (squares[places].astype(np.float64) + gradients**2).astype(np.float32)
        steps = learning_rate * gradients / np.sqrt(squares[places].astype(np.float64) + _SMALL)
        weights[places] = (weights[places].astype(np.float64) - steps).astype(np.float32)
    return weights[:-1], float(weights[-1])
